//! Talking in a room: at a terminal with the messages above the line that is typed, elsewhere line
//! by line.

mod format;
mod reconnect;
mod room_session;
mod screen;

pub(super) use reconnect::Reconnect;

use self::room_session::{Leave, RoomSession};
use self::screen::Screen;
use super::failure::Result;
use super::run::Runner;
use kvrpc::model::RoomName;

impl Runner {
    /// Talks until the input ends, or until it is told to quit.
    pub(super) async fn chat(&mut self, room: RoomName) -> Result<()> {
        let mut screen = Screen::open()?;
        let mut next = Some(room);
        let mut done = Ok(());
        while let Some(room) = next.take() {
            match RoomSession::new(self, &mut screen, room).run().await {
                Ok(Leave::Quit) => {}
                Ok(Leave::Join(room)) => next = Some(room),
                Err(failure) => done = Err(failure),
            }
        }
        screen.close();
        done
    }
}
