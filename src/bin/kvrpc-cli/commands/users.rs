//! Users, roles and sessions: auth, upgrade, downgrade, whoami, users, accesses, token, signout.

use serde_json::json;

use crate::convert;
use crate::failure::{Failure, Result};
use crate::input::CommandInput;
use crate::output::Row;
use crate::run::Runner;
use crate::session::{Need, user_of};
use kvrpc::model::{MAX_PAGE_SIZE, Reason, UserName};
use kvrpc::pb::v1::auth_service_client::AuthServiceClient as Auth;
use kvrpc::pb::v1::{
    Access, AuthRequest, DowngradeRequest, ListAccessesRequest, ListUsersRequest, SignOutRequest,
    UpgradeRequest, User, WhoAmIRequest,
};

impl Runner {
    /// The session takes the account's role; for one's own name, the account's session opens.
    pub(crate) async fn auth(&mut self, account: String, input: CommandInput) -> Result<()> {
        let CommandInput::Password(password) = input else {
            return Err(Failure::failed("the password was not read"));
        };
        let own =
            UserName::new(account.clone()).is_ok_and(|name| name == self.session.settings.user);
        let need = if own { Need::ThisSession } else { Need::Session };
        let message = AuthRequest { user: account, password };
        let rpc = async |channel, request| Auth::new(channel).auth(request).await;
        let mut done = self.session.call(need, message.clone(), rpc).await;
        let ended = |failure: &Failure| failure.reason == Some(Reason::SessionExpired);
        if own && done.as_ref().is_err_and(ended) {
            // The account's session of an earlier run has ended, and is forgotten: another opens.
            done = self.session.call(Need::Nothing, message, rpc).await;
        }
        let done = done?;
        self.session.adopt(&done.token)?;
        self.show_user(done.user)
    }

    pub(crate) async fn upgrade(&mut self, user: Option<UserName>) -> Result<()> {
        let message =
            UpgradeRequest { user: user.map_or_else(String::new, |user| user.as_str().to_owned()) };
        let rpc = async |channel, request| Auth::new(channel).upgrade(request).await;
        let done = self.session.call(Need::Session, message, rpc).await?;
        self.show_user(done.user)
    }

    pub(crate) async fn downgrade(&mut self, user: UserName, end_sessions: bool) -> Result<()> {
        let message = DowngradeRequest { user: user.as_str().to_owned(), end_sessions };
        let rpc = async |channel, request| Auth::new(channel).downgrade(request).await;
        let done = self.session.call(Need::Session, message, rpc).await?;
        self.show_user(done.user)
    }

    fn show_user(&mut self, user: Option<User>) -> Result<()> {
        let user = user_of(user)?;
        let text = format!("{} ({})", user.name, convert::role(user.role));
        Ok(self.output.result(&Row {
            text,
            json: json!({ "name": user.name, "role": convert::role(user.role) }),
        })?)
    }

    pub(crate) async fn whoami(&mut self) -> Result<()> {
        let rpc = async |channel, request| Auth::new(channel).who_am_i(request).await;
        let reply = self.session.call(Need::Session, WhoAmIRequest {}, rpc).await?;
        let user = user_of(reply.user)?;
        let role = convert::role(user.role);
        let json = json!({
            "name": user.name,
            "role": role,
            "session_expire_time": convert::time(reply.session_expire_time),
            "upgrade_policy": convert::upgrade_policy(reply.upgrade_policy),
        });
        Ok(self.output.result(&Row { text: format!("{} ({role})", user.name), json })?)
    }

    pub(crate) async fn users(&mut self) -> Result<()> {
        let mut users = Vec::new();
        let mut page_token = String::new();
        loop {
            let message = ListUsersRequest { page_size: MAX_PAGE_SIZE, page_token };
            let rpc = async |channel, request| Auth::new(channel).list_users(request).await;
            let page = self.session.call(Need::Session, message, rpc).await?;
            users.extend(page.users);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        let cells: Vec<_> = users
            .iter()
            .map(|user| vec![user.name.clone(), convert::role(user.role).to_owned()])
            .collect();
        let json =
            users.iter().map(|user| json!({ "name": user.name, "role": convert::role(user.role) }));
        Ok(self.output.table(&["USER", "ROLE"], &cells, json)?)
    }

    pub(crate) async fn accesses(&mut self) -> Result<()> {
        let mut accesses = Vec::new();
        let mut page_token = String::new();
        loop {
            let message = ListAccessesRequest { page_size: MAX_PAGE_SIZE, page_token };
            let rpc = async |channel, request| Auth::new(channel).list_accesses(request).await;
            let page = self.session.call(Need::Session, message, rpc).await?;
            accesses.extend(page.accesses);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        let cells: Vec<_> = accesses.iter().map(access_cells).collect();
        let heads =
            ["USER", "ROLE", "ACCOUNT", "PROTOCOL", "METHOD", "KEY", "COUNT", "FIRST", "LAST"];
        Ok(self.output.table(&heads, &cells, accesses.iter().map(access_json))?)
    }

    pub(crate) async fn token(&mut self) -> Result<()> {
        let token = self.session.token().await?;
        let json = json!({ "token": token });
        Ok(self.output.result(&Row { text: token, json })?)
    }

    /// Ends the session that there is; no other opens for it.
    pub(crate) async fn sign_out(&mut self) -> Result<()> {
        if self.session.exists() {
            let rpc = async |channel, request| Auth::new(channel).sign_out(request).await;
            match self.session.call(Need::ThisSession, SignOutRequest {}, rpc).await {
                Ok(_) => {}
                // It had ended before.
                Err(failure) if failure.reason == Some(Reason::SessionExpired) => {}
                Err(failure) => return Err(failure),
            }
            self.session.forget();
        }
        Ok(self.output.silent(&json!({ "signed_out": true }))?)
    }
}

fn access_cells(access: &Access) -> Vec<String> {
    let user = access.user.as_ref();
    vec![
        user.map(|user| user.name.clone()).unwrap_or_default(),
        user.map_or("unknown", |user| convert::role(user.role)).to_owned(),
        access.account.clone(),
        access.protocol.clone(),
        access.method.clone(),
        access.key.clone(),
        access.count.to_string(),
        seconds(access.first_time),
        seconds(access.last_time),
    ]
}

/// A time without the parts of a second, for people.
fn seconds(time: Option<prost_types::Timestamp>) -> String {
    convert::time(time.map(|time| prost_types::Timestamp { nanos: 0, ..time })).unwrap_or_default()
}

fn access_json(access: &Access) -> serde_json::Value {
    let user = access.user.as_ref();
    json!({
        "user": user.map(|user| json!({ "name": user.name, "role": convert::role(user.role) })),
        "account": access.account,
        "protocol": access.protocol,
        "method": access.method,
        "key": access.key,
        "count": access.count,
        "first_time": convert::time(access.first_time),
        "last_time": convert::time(access.last_time),
    })
}
