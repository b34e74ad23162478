//! The token cache: one private file a server and user.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::server::Server;
use kvrpc::model::UserName;

/// Storage of tokens between runs.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    dir: Option<PathBuf>,
    file: String,
    server: String,
    user: String,
}

/// Content of a file. Server and user are there for people who read it.
#[derive(Debug, Serialize, Deserialize)]
struct CacheFile {
    server: String,
    user: String,
    token: String,
}

impl Cache {
    /// The place for a server and a user; without a directory nothing is kept.
    pub(super) fn new(dir: Option<PathBuf>, server: &Server, user: &UserName) -> Self {
        let server = server.to_string();
        // Neither a server's nor a user's name is always a file's.
        let digest = Sha256::digest(format!("{server}\n{}", user.folded()));
        let name: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self { dir, file: format!("token-{name}.json"), server, user: user.as_str().to_owned() }
    }

    /// The file, if tokens are kept at all.
    pub(super) fn path(&self) -> Option<PathBuf> {
        self.dir.as_ref().map(|dir| dir.join(&self.file))
    }

    /// The token that was kept. One that cannot be read is none: a new session opens then.
    pub(super) fn load(&self) -> Option<String> {
        let path = self.path()?;
        let kept: CacheFile = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
        let mode = fs::metadata(&path).ok()?.permissions().mode();
        if mode & 0o077 != 0 {
            let _ = fs::set_permissions(&path, Permissions::from_mode(0o600));
        }
        (kept.server == self.server).then_some(kept.token)
    }

    /// Keeps a token: the file appears whole, for its owner alone.
    pub(super) fn store(&self, token: &str) -> io::Result<()> {
        let (Some(dir), Some(path)) = (&self.dir, self.path()) else { return Ok(()) };
        private_dir(dir)?;
        let kept = CacheFile {
            server: self.server.clone(),
            user: self.user.clone(),
            token: token.to_owned(),
        };
        // The file is 0600 from its beginning.
        let mut file = NamedTempFile::new_in(dir)?;
        serde_json::to_writer(&mut file, &kept)?;
        file.write_all(b"\n")?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    /// Forgets the token.
    pub(super) fn forget(&self) {
        if let Some(path) = self.path() {
            // One that is not there is forgotten.
            let _ = fs::remove_file(path);
        }
    }

    /// Returns the file of the prompt's history; no password is ever in it.
    pub(super) fn history(&self) -> Option<PathBuf> {
        let dir = self.dir.as_ref()?;
        private_dir(dir).ok()?;
        Some(dir.join("history"))
    }

    /// Checks that a token can be kept there without being readable by others.
    pub(super) fn check(&self) -> Result<PathBuf, String> {
        let dir = self.dir.as_ref().ok_or("there is no home directory; set KVRPC_CACHE_DIR")?;
        let say = |error: io::Error| {
            format!("{}: {error}; set KVRPC_CACHE_DIR to another directory", dir.display())
        };
        private_dir(dir).map_err(say)?;
        NamedTempFile::new_in(dir).map_err(say)?;
        Ok(dir.clone())
    }
}

/// Makes the directory, or makes it private.
fn private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    if fs::metadata(dir)?.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(dir: &Path, server: &str, user: &str) -> Cache {
        Cache::new(
            Some(dir.join("kvrpc")),
            &Server::parse(server, None).unwrap(),
            &UserName::new(user).unwrap(),
        )
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_token_is_kept_per_server_and_user_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let kept = cache(dir.path(), "h:1", "Anuran");
        assert_eq!(kept.load(), None);
        kept.store("secret").unwrap();
        assert_eq!(mode(&kept.path().unwrap()), 0o600);
        assert_eq!(mode(&dir.path().join("kvrpc")), 0o700);
        for (server, user, want) in [
            ("h:1", "Anuran", Some("secret")),
            ("http://h:1", "anuran", Some("secret")),
            ("h:2", "Anuran", None),
            ("https://h:1", "Anuran", None),
            ("h:1", "adam", None),
        ] {
            assert_eq!(cache(dir.path(), server, user).load().as_deref(), want, "{server} {user}");
        }
        kept.store("newer").unwrap();
        assert_eq!(kept.load().as_deref(), Some("newer"));
        assert_eq!(
            fs::read_dir(dir.path().join("kvrpc")).unwrap().count(),
            1,
            "a temporary file is left"
        );
        kept.forget();
        kept.forget();
        assert_eq!(kept.load(), None);
    }

    #[test]
    fn what_others_could_read_is_made_private() {
        let dir = tempfile::tempdir().unwrap();
        let kept = cache(dir.path(), "h:1", "u");
        kept.store("secret").unwrap();
        let (file, parent) = (kept.path().unwrap(), dir.path().join("kvrpc"));
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(&parent, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(kept.load().as_deref(), Some("secret"));
        assert_eq!(mode(&file), 0o600);
        kept.store("secret").unwrap();
        assert_eq!(mode(&parent), 0o700);
    }

    #[test]
    fn a_spoilt_file_is_no_token() {
        let dir = tempfile::tempdir().unwrap();
        let kept = cache(dir.path(), "h:1", "u");
        kept.store("secret").unwrap();
        for spoilt in ["", "{", "[]", "{\"token\":\"x\"}"] {
            fs::write(kept.path().unwrap(), spoilt).unwrap();
            assert_eq!(kept.load(), None, "{spoilt}");
        }
    }
}
