//! Rooms and their members.

use serde_json::json;

use crate::convert;
use crate::failure::Result;
use crate::run::Runner;
use crate::session::{ClientSession, Need};
use kvrpc::model::{MAX_PAGE_SIZE, RoomName};
use kvrpc::pb::v1::chat_service_client::ChatServiceClient as Chat;
use kvrpc::pb::v1::{ListMembersRequest, ListRoomsRequest, Room, User};

impl Runner {
    pub(crate) async fn rooms(&mut self) -> Result<()> {
        let rooms = list_rooms(&self.session).await?;
        let cells: Vec<_> = rooms
            .iter()
            .map(|room| vec![room.name.clone(), room.member_count.to_string()])
            .collect();
        let json = rooms
            .iter()
            .map(|room| json!({ "name": room.name, "member_count": room.member_count }));
        Ok(self.output.table(&["ROOM", "MEMBERS"], &cells, json)?)
    }

    pub(crate) async fn members(&mut self, room: RoomName) -> Result<()> {
        let members = list_members(&self.session, &room).await?;
        let cells: Vec<_> = members
            .iter()
            .map(|user| vec![user.name.clone(), convert::role(user.role).to_owned()])
            .collect();
        let json = members
            .iter()
            .map(|user| json!({ "name": user.name, "role": convert::role(user.role) }));
        Ok(self.output.table(&["USER", "ROLE"], &cells, json)?)
    }
}

pub(crate) async fn list_rooms(session: &ClientSession) -> Result<Vec<Room>> {
    let mut rooms = Vec::new();
    let mut page_token = String::new();
    loop {
        let message = ListRoomsRequest { page_size: MAX_PAGE_SIZE, page_token };
        let rpc = async |channel, request| Chat::new(channel).list_rooms(request).await;
        let page = session.call(Need::Session, message, rpc).await?;
        rooms.extend(page.rooms);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(rooms);
        }
    }
}

pub(crate) async fn list_members(session: &ClientSession, room: &RoomName) -> Result<Vec<User>> {
    let mut members = Vec::new();
    let mut page_token = String::new();
    loop {
        let message = ListMembersRequest {
            room: room.as_str().to_owned(),
            page_size: MAX_PAGE_SIZE,
            page_token,
        };
        let rpc = async |channel, request| Chat::new(channel).list_members(request).await;
        let page = session.call(Need::Session, message, rpc).await?;
        members.extend(page.members);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(members);
        }
    }
}
