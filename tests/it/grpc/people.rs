//! A server with two accounts, two guests and a manager.

use std::collections::HashMap;
use std::sync::LazyLock;

use kvrpc::model::Method;
use kvrpc::pb::v1;
use prost::Message as _;

use super::raw::{Failure, Raw};
use crate::harness::Server;

/// Caller of an RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// Without a token.
    Nobody,
    /// With a malformed token.
    Malformed,
    /// With a token whose session has ended.
    Expired,
    /// With a token of another server.
    Stranger,
    /// The user `guest`.
    Guest,
    /// The user `other`, also a guest.
    Other,
    /// The account `adam`, whose password is `bill`.
    Manager,
}

/// Returns the accounts, with cheap hashes: the tests check many passwords.
pub(crate) fn accounts() -> String {
    // Made once: to servers on one engine, another hash is another password.
    static ACCOUNTS: LazyLock<String> = LazyLock::new(|| {
        format!(
            "[users.adam]\npassword = {:?}\nrole = \"manager\"\n\
             [users.bob]\npassword = {:?}\nrole = \"guest\"\n",
            hash("bill", CHEAP),
            hash("bob's", CHEAP)
        )
    });
    ACCOUNTS.clone()
}

/// Memory in KiB of a hash that takes almost no time.
const CHEAP: u32 = 64;

/// Returns a hash with this memory in KiB, which determines its time.
pub(crate) fn hash(password: &str, memory: u32) -> String {
    use argon2::password_hash::PasswordHasher as _;
    let params = argon2::Params::new(memory, 2, 1, None).unwrap();
    argon2::Argon2::from(params).hash_password(password.as_bytes()).unwrap().to_string()
}

/// The server, and a client for each caller.
pub(crate) struct People {
    pub(crate) server: Server,
    clients: HashMap<Who, Raw>,
}

impl People {
    pub(crate) async fn start() -> Self {
        Self::with("[limits]\nbytes-per-user = \"2MiB\"\nrooms-per-user = 1\n").await
    }

    /// Starts the server; `config` is placed before the accounts.
    pub(crate) async fn with(config: &str) -> Self {
        let server = Server::builder().toml(&format!("{config}{}", accounts())).start().await;
        let nobody = Raw::new(server.channel());
        let mut clients = HashMap::from([(Who::Nobody, nobody.clone())]);
        for (who, user) in [(Who::Guest, "guest"), (Who::Other, "other"), (Who::Expired, "expired")]
        {
            clients.insert(who, sign_in(&nobody, user).await);
        }
        clients[&Who::Expired]
            .call::<_, v1::SignOutResponse>(Method::SignOut.path(), &v1::SignOutRequest {})
            .await
            .unwrap();
        clients.insert(Who::Manager, auth(&nobody, "adam", "bill").await.unwrap());
        clients.insert(Who::Stranger, nobody.with_token(&"A".repeat(43)));
        clients.insert(Who::Malformed, nobody.with_token("short"));
        Self { server, clients }
    }

    pub(crate) fn client(&self, who: Who) -> &Raw {
        &self.clients[&who]
    }

    pub(crate) async fn call(
        &self,
        who: Who,
        method: Method,
        message: Vec<u8>,
    ) -> Result<Vec<bytes::Bytes>, Failure> {
        let most = if matches!(method, Method::Subscribe | Method::Watch) { 1 } else { usize::MAX };
        Ok(self.client(who).some_bytes(method.path(), message, most).await?)
    }

    /// Fills the stores until less than one large value fits.
    pub(crate) async fn fill_up(&self, all: &[Who]) {
        for &who in all {
            let data = Some(v1::put_request::Data::Blob(vec![7; 1 << 20].into()));
            let put = v1::PutRequest { key: "large".to_owned(), data, ..Default::default() };
            self.call(who, Method::Put, put.encode_to_vec()).await.unwrap();
        }
    }

    /// Returns the content of both guests' stores with revisions, and the list of users.
    pub(crate) async fn state(&self) -> Vec<bytes::Bytes> {
        let mut state = Vec::new();
        for who in [Who::Guest, Who::Other] {
            let scan = v1::ScanRequest { keys_only: true, ..Default::default() };
            state.extend(self.call(who, Method::Scan, scan.encode_to_vec()).await.unwrap());
        }
        state.extend(self.call(Who::Manager, Method::ListUsers, Vec::new()).await.unwrap());
        state
    }
}

pub(crate) async fn sign_in(nobody: &Raw, user: &str) -> Raw {
    let request = v1::SignInRequest { user: user.to_owned() };
    let response: v1::SignInResponse = nobody.call(Method::SignIn.path(), &request).await.unwrap();
    nobody.with_token(&response.token)
}

pub(crate) async fn auth(client: &Raw, user: &str, password: &str) -> Result<Raw, Failure> {
    let request = v1::AuthRequest { user: user.to_owned(), password: password.to_owned() };
    let response: v1::AuthResponse = client.call(Method::Auth.path(), &request).await?;
    Ok(client.with_token(&response.token))
}
