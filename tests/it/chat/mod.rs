//! Rooms over gRPC.

mod ends;
mod flow;
pub(crate) mod talker;

use kvrpc::model::Method;
use kvrpc::model::Reason;
use kvrpc::pb::v1;
use kvrpc::pb::v1::chat_request::Request;
use kvrpc::pb::v1::chat_service_client::ChatServiceClient;

use self::talker::Talk;
use crate::grpc::people::{People, Who, sign_in};
use crate::grpc::raw::{Failure, Raw};
use crate::harness::{eventually, within};

pub(crate) async fn members(raw: &Raw, room: &str) -> Result<Vec<String>, Failure> {
    let request = v1::ListMembersRequest { room: room.to_owned(), ..Default::default() };
    let listed: v1::ListMembersResponse = raw.call(Method::ListMembers.path(), &request).await?;
    Ok(listed.members.into_iter().map(|user| user.name).collect())
}

pub(crate) async fn send(raw: &Raw, room: &str, text: &str, id: &str) -> Result<u64, Failure> {
    let (room, text, client_message_id) = (room.to_owned(), text.to_owned(), id.to_owned());
    let request = v1::SendRequest { room, text, client_message_id };
    let sent: v1::SendResponse = raw.call(Method::Send.path(), &request).await?;
    Ok(sent.position.unwrap().sequence)
}

#[tokio::test]
async fn those_in_a_room_hear_each_other() {
    let people = People::start().await;
    let mut ann = Talk::join(people.client(Who::Guest), "", None).await;
    assert_eq!(ann.hear_all(2).await, ["lobby: guest", "+guest"]);
    let mut bob = Talk::join(people.client(Who::Other), "LOBBY", None).await;
    assert_eq!(bob.hear_all(2).await, ["lobby: guest other", "+other"]);
    ann.say("hello", "1").await;
    assert_eq!(ann.hear_all(3).await, ["+other", "guest: hello", "ack 1"]);
    assert_eq!(bob.hear().await, "guest: hello");
    assert_eq!(send(people.client(Who::Manager), "lobby", "from outside", "").await.unwrap(), 4);
    assert_eq!(
        (ann.hear().await, bob.hear().await),
        ("adam: from outside".to_owned(), "adam: from outside".to_owned())
    );
    // Bob has left once his side ended, and the others are told.
    bob.say("bye", "2").await;
    bob.finish();
    assert_eq!(bob.hear_all(2).await, ["other: bye", "ack 2"]);
    assert_eq!(bob.end().await.1, Ok(()));
    assert_eq!(ann.hear_all(2).await, ["other: bye", "-other"]);
}

#[tokio::test]
async fn a_user_is_a_member_until_its_last_stream_ends() {
    let people = People::start().await;
    let (guest, other) = (people.client(Who::Guest), people.client(Who::Other));
    let mut listens = Talk::join(guest, "r", None).await;
    assert_eq!(listens.hear_all(2).await, ["r: guest", "+guest"]);
    let mut first = Talk::join(other, "r", None).await;
    assert_eq!(first.hear().await, "r: guest other");
    let mut client = ChatServiceClient::new(other.channel.clone());
    let subscribe = other.request(v1::SubscribeRequest { room: "r".to_owned(), after: None });
    let mut second =
        within("the stream opens", client.subscribe(subscribe)).await.unwrap().into_inner();
    let welcome = within("it is welcome", second.message()).await.unwrap().unwrap();
    assert!(
        matches!(welcome.event, Some(v1::subscribe_response::Event::Welcome(_))),
        "{welcome:?}"
    );
    assert_eq!(members(guest, "r").await.unwrap(), ["guest", "other"]);
    drop(first);
    send(other, "r", "still here", "").await.unwrap();
    assert_eq!(listens.hear_all(2).await, ["+other", "other: still here"]);
    drop(second);
    assert_eq!(listens.hear().await, "-other");
    assert_eq!(members(guest, "r").await.unwrap(), ["guest"]);
    drop(listens);
    eventually("the last one leaves", || async { members(guest, "r").await.unwrap().is_empty() })
        .await;
    assert_eq!(members(guest, "nowhere").await.unwrap_err().reason, Some(Reason::RoomNotFound));
}

#[tokio::test]
async fn a_bad_message_is_rejected_and_the_stream_goes_on() {
    let people = People::start().await;
    let mut ann = Talk::join(people.client(Who::Guest), "", None).await;
    ann.hear_all(2).await;
    ann.say("", "empty").await;
    assert_eq!(ann.hear().await, "rejected empty INVALID_MESSAGE");
    ann.say(&"x".repeat(4_097), "long").await;
    assert_eq!(ann.hear().await, "rejected long INVALID_MESSAGE");
    ann.say("text", &"i".repeat(65)).await;
    assert_eq!(ann.hear().await, "rejected  INVALID_MESSAGE");
    ann.request(Request::Join(v1::ChatJoin::default())).await;
    assert_eq!(ann.hear().await, "rejected  INVALID_MESSAGE");
    ann.say("once", "1").await;
    assert_eq!(ann.hear_all(2).await, ["guest: once", "ack 1"]);
    ann.say("once", "1").await;
    assert_eq!(ann.hear().await, "ack 1");
    ann.say("twice", "1").await;
    assert_eq!(ann.hear().await, "rejected 1 REQUEST_ID_REUSED");
    let sent = send(people.client(Who::Guest), "", "once", "1").await.unwrap();
    assert_eq!(sent, 2, "Send and Chat share the ids");
    ann.say("fine", "2").await;
    assert_eq!(ann.hear_all(2).await, ["guest: fine", "ack 2"]);
}

#[tokio::test]
async fn who_is_in_too_many_rooms_may_not_subscribe() {
    let people = People::start().await;
    send(people.client(Who::Other), "theirs", "hello", "").await.unwrap();
    let mut ann = Talk::join(people.client(Who::Guest), "own", None).await;
    ann.hear().await;
    let mut client = ChatServiceClient::new(people.client(Who::Guest).channel.clone());
    let subscribe = v1::SubscribeRequest { room: "theirs".to_owned(), after: None };
    let refused = client.subscribe(people.client(Who::Guest).request(subscribe)).await.unwrap_err();
    assert_eq!(Failure::from(refused).reason, Some(Reason::QuotaExceeded));
}

#[tokio::test]
async fn rooms_and_members_are_listed_page_by_page() {
    let people = People::with("").await;
    let guest = people.client(Who::Guest);
    let mut streams = Vec::new();
    for room in ["a", "b", "c"] {
        streams.push(Talk::join(guest, room, None).await);
        streams.last_mut().unwrap().hear().await;
    }
    for user in ["ann", "eve"] {
        let raw = sign_in(people.client(Who::Nobody), user).await;
        streams.push(Talk::join(&raw, "b", None).await);
        streams.last_mut().unwrap().hear().await;
    }
    let (mut rooms, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListRoomsRequest { page_size: 2, page_token };
        let page: v1::ListRoomsResponse =
            guest.call(Method::ListRooms.path(), &request).await.unwrap();
        rooms.extend(
            page.rooms.into_iter().map(|room| format!("{} {}", room.name, room.member_count)),
        );
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(rooms, ["a 1", "b 3", "c 1"]);
    let request =
        v1::ListMembersRequest { room: "b".to_owned(), page_size: 2, ..Default::default() };
    let page: v1::ListMembersResponse =
        guest.call(Method::ListMembers.path(), &request).await.unwrap();
    let request = v1::ListMembersRequest { page_token: page.next_page_token, ..request };
    let rest: v1::ListMembersResponse =
        guest.call(Method::ListMembers.path(), &request).await.unwrap();
    let names: Vec<_> =
        page.members.into_iter().chain(rest.members).map(|user| user.name).collect();
    assert_eq!(names, ["guest", "ann", "eve"]);
    let elsewhere = v1::ListMembersRequest { room: "a".to_owned(), ..request };
    let refused =
        guest.call::<_, v1::ListMembersResponse>(Method::ListMembers.path(), &elsewhere).await;
    assert_eq!(
        refused.unwrap_err().reason,
        Some(Reason::InvalidPageToken),
        "a token is of one room"
    );
}
