use std::collections::BTreeSet;
use std::convert::Infallible;

use sageapi_server::model::{
    Actor, Entity, Group, GroupId, GroupLimits, GroupName, OnStoreFailure, Owner, Secret, User, UserId,
    UserRole, Username,
};
use sageapi_server::store::{
    Changed, Error, GroupFilter, NewGroup, NewUser, NotChanged, Page, UserFilter, Window,
};

use crate::mirror::user as mirrored_user;
use crate::{Db, contract, customer};

fn owner() -> Owner {
    Owner::Customer(customer("org_a"))
}

fn user_id(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

fn group_id(id: &str) -> GroupId {
    GroupId::parse(id).unwrap()
}

fn new_user(id: &str, name: &str) -> NewUser {
    NewUser {
        id: Some(user_id(id)),
        owner: owner(),
        username: Username::parse(name).unwrap(),
        role: UserRole::User,
        password_hash: Some(Secret::new("$argon2id$first")),
        is_active: true,
        group_id: None,
    }
}

fn new_group(id: &str) -> NewGroup {
    NewGroup {
        id: Some(group_id(id)),
        owner: owner(),
        name: GroupName::parse(&format!("name of {id}")).unwrap(),
        limits: GroupLimits {
            daily_tokens: Some(100),
            concurrent_requests: Some(0),
            ..GroupLimits::default()
        },
        default_reservation: None,
        time_zone: None,
        on_store_failure: OnStoreFailure::Deny,
        is_default: false,
    }
}

fn by() -> Actor {
    Actor::server()
}

impl Db {
    async fn person(&self, id: &str) -> User {
        self.store.create_user(new_user(id, id), &by()).await.unwrap()
    }

    async fn some_group(&self, id: &str) -> Group {
        self.store.create_group(new_group(id), &by()).await.unwrap()
    }

    async fn user_now(&self, id: &str) -> User {
        self.store.user(&user_id(id)).await.unwrap().unwrap()
    }

    async fn change(&self, id: &str, change: impl Fn(&mut User) + Send + Sync + 'static) -> User {
        let change = move |user: &mut User| {
            change(user);
            Ok::<_, Infallible>(())
        };
        self.store.change_user(&user_id(id), None, "update", &by(), change).await.unwrap()
    }

    async fn audited(&self) -> i64 {
        self.database.int("SELECT COUNT(*) FROM audit_log").await
    }
}

async fn heard(db: &Db) -> Vec<Changed> {
    let other = db.another();
    let since = other.now().await.unwrap().minus(std::time::Duration::from_hours(1));
    other.cache_events(since, |_| false).await.unwrap().into_iter().map(|event| event.changed).collect()
}

fn renamed_to(name: &'static str) -> impl Fn(&mut Group) -> Result<(), Infallible> + Send + Sync {
    move |group| {
        group.name = GroupName::parse(name).unwrap();
        Ok(())
    }
}

contract! {
    async fn a_user_is_read_as_it_was_created(db: ready) {
        let group = db.some_group("g").await;
        let new = NewUser { is_active: false, group_id: Some(group.id.clone()), ..new_user("u", "Ann") };
        let made = db.store.create_user(new, &by()).await.unwrap();
        assert_eq!((made.version, made.security_version, made.is_active), (1, made.created_at.micros(), false));
        assert_eq!(made.group_id, Some(group.id));
        assert_eq!(db.store.user(&made.id).await.unwrap().as_ref(), Some(&made));
        let name = Username::parse("ANN").unwrap();
        assert_eq!(db.store.user_by_name(&owner(), &name).await.unwrap(), Some(made));
        assert_eq!(db.store.user_by_name(&Owner::Platform, &name).await.unwrap(), None);
        let made = db.store.create_user(NewUser { id: None, ..new_user("v", "bea") }, &by()).await;
        assert_eq!(made.unwrap().id.as_str().len(), 36, "an id is made where none is given");
    }

    async fn of_ten_users_created_at_once_with_one_name_exactly_one_is(db: ready) {
        for ids in [(0..10).map(|_| "same".to_owned()).collect::<Vec<_>>(), (0..10).map(|n| format!("u{n}")).collect()] {
            let tasks: Vec<_> = ids.into_iter().map(|id| {
                let store = db.another();
                let name = if id == "same" { random_name() } else { "ann".to_owned() };
                tokio::spawn(async move { store.create_user(new_user(&id, &name), &by()).await })
            }).collect();
            let mut created = 0;
            for task in tasks {
                match task.await.unwrap() {
                    Ok(_) => created += 1,
                    Err(error) => assert!(matches!(error, Error::Duplicate(_)), "{error:?}"),
                }
            }
            assert_eq!(created, 1);
        }
        assert_eq!(db.audited().await, 2, "those that were not created left no trace");
        let elsewhere = NewUser { owner: Owner::Platform, ..new_user("other", "ann") };
        assert!(db.store.create_user(elsewhere, &by()).await.is_ok(), "a name is unique for its owner");
    }

    async fn a_change_is_made_against_a_version_and_audited_with_it(db: ready) {
        let made = db.person("u").await;
        assert_eq!(db.audited().await, 1);
        let rename = |expected| {
            let store = db.store.clone();
            async move {
                store.change_user(&user_id("u"), expected, "update", &by(), |user| {
                    user.username = Username::parse("bea").unwrap();
                    Ok::<_, Infallible>(())
                }).await
            }
        };
        assert!(matches!(rename(Some(2)).await, Err(NotChanged::Stale)));
        assert_eq!(db.user_now("u").await, made);
        assert_eq!(rename(Some(1)).await.unwrap().version, 2);
        assert!(matches!(rename(Some(1)).await, Err(NotChanged::Stale)));
        assert_eq!(db.audited().await, 2);
        assert_eq!(rename(Some(2)).await.unwrap().version, 2, "what changes nothing is no change");
        assert_eq!(db.audited().await, 2);
        let refused = db.store.change_user(&user_id("u"), None, "update", &by(), |_| Err("no")).await;
        assert!(matches!(refused, Err(NotChanged::Refused("no"))));
        let gone = db.store.change_user(&user_id("x"), None, "update", &by(), |_| Ok::<_, Infallible>(())).await;
        assert!(matches!(gone, Err(NotChanged::NotFound)));
        let diffs = db.database.texts("SELECT diff FROM audit_log ORDER BY created_at, id").await;
        assert_eq!(diffs[1], r#"{"before":{"username":"u"},"after":{"username":"bea"}}"#);
        assert!(!diffs.concat().contains("argon2"), "{diffs:?}");
    }

    async fn of_two_changes_of_one_version_at_once_one_is_made(db: ready) {
        db.person("u").await;
        let tasks: Vec<_> = (0..6).map(|n| {
            let store = db.another();
            tokio::spawn(async move {
                store.change_user(&user_id("u"), Some(1), "update", &by(), move |user| {
                    user.username = Username::parse(&format!("name-{n}")).unwrap();
                    Ok::<_, Infallible>(())
                }).await
            })
        }).collect();
        let mut made = 0;
        for task in tasks {
            match task.await.unwrap() {
                Ok(_) => made += 1,
                Err(error) => assert!(matches!(error, NotChanged::Stale), "{error:?}"),
            }
        }
        assert_eq!((made, db.user_now("u").await.version, db.audited().await), (1, 2, 2));
    }

    async fn what_ends_access_raises_the_security_version(db: ready) {
        db.person("u").await;
        let first = db.user_now("u").await.security_version;
        let raised = |user: User| user.security_version - first;
        assert_eq!(raised(db.change("u", |user| user.username = Username::parse("b").unwrap()).await), 0);
        assert_eq!(raised(db.change("u", |user| user.role = UserRole::Admin).await), 1);
        assert_eq!(raised(db.change("u", |user| user.is_active = false).await), 2);
        assert_eq!(raised(db.change("u", |user| user.is_active = true).await), 2);
        let password = |user: &mut User| user.password_hash = Some(Secret::new("$argon2id$second"));
        assert_eq!(raised(db.change("u", password).await), 3);
        assert_eq!(raised(db.change("u", |user| user.security_version += 1).await), 4);
        assert_eq!(db.user_now("u").await.version, 7);
    }

    async fn signing_in_is_no_change_of_a_user(db: ready) {
        db.person("u").await;
        let at = db.store.now().await.unwrap();
        assert!(db.store.note_login(&user_id("u"), at).await.unwrap());
        assert!(!db.store.note_login(&user_id("x"), at).await.unwrap());
        let user = db.user_now("u").await;
        assert_eq!((user.last_login_at, user.version), (Some(at), 1));
        assert_eq!(user.security_version, user.created_at.micros());
        assert_eq!((db.audited().await, heard(&db).await.len()), (1, 1));
    }

    async fn changes_of_users_and_groups_are_heard_by_others(db: ready) {
        db.some_group("g").await;
        db.person("u").await;
        db.change("u", |user| user.group_id = Some(group_id("g"))).await;
        db.store.delete_group(&group_id("g"), None, &by(), |_, _| Ok::<_, Infallible>(())).await.unwrap();
        db.store.delete_user(&user_id("u"), None, &by(), |_| Ok::<_, Infallible>(())).await.unwrap();
        let heard: BTreeSet<_> = heard(&db).await.iter().map(|changed| serde_json::to_string(changed).unwrap()).collect();
        let expected = [r#"{"g":true}"#, r#"{"u":["u"],"g":true}"#, r#"{"u":["u"]}"#];
        assert_eq!(heard, expected.map(str::to_owned).into());
    }

    async fn a_group_is_read_as_it_was_created_and_changed(db: ready) {
        let made = db.some_group("g").await;
        assert_eq!(db.store.group(&made.id).await.unwrap().as_ref(), Some(&made));
        assert_eq!(db.store.group_by_name(&owner(), &made.name).await.unwrap().as_ref(), Some(&made));
        assert_eq!((made.limits.daily_tokens, made.limits.monthly_tokens, made.limits.concurrent_requests), (Some(100), None, Some(0)));
        let changed = db.store.change_group(&made.id, Some(1), &by(), |group| {
            (group.limits.daily_tokens, group.limits.monthly_tokens) = (None, Some(5));
            group.time_zone = sageapi_server::model::ZoneName::parse("Asia/Shanghai").ok();
            group.on_store_failure = OnStoreFailure::Allow;
            group.set_default(true);
            Ok::<_, Infallible>(())
        }).await.unwrap();
        assert_eq!((changed.limits.daily_tokens, changed.limits.monthly_tokens, changed.version), (None, Some(5), 2));
        assert_eq!(db.store.group(&made.id).await.unwrap(), Some(changed));
        let other = NewGroup { name: made.name.clone(), ..new_group("h") };
        assert!(matches!(db.store.create_group(other.clone(), &by()).await, Err(Error::Duplicate(_))));
        assert!(db.store.create_group(NewGroup { owner: Owner::Platform, ..other }, &by()).await.is_ok());
        db.some_group("i").await;
        let renamed = db.store.change_group(&group_id("i"), None, &by(), renamed_to("name of g")).await;
        assert!(matches!(renamed, Err(NotChanged::Store(Error::Duplicate(_)))));
    }

    async fn an_owner_has_one_default_group_at_most_and_the_platform_too(db: ready) {
        let default = |id: &str, owner: Owner| NewGroup { owner, is_default: true, ..new_group(id) };
        for (id, owner, taken) in [
            ("a", owner(), false),
            ("b", owner(), true),
            ("c", Owner::Platform, false),
            ("d", Owner::Platform, true),
            ("e", Owner::Customer(customer("org_b")), false),
        ] {
            let made = db.store.create_group(default(id, owner), &by()).await;
            assert_eq!(matches!(made, Err(Error::Duplicate(_))), taken, "{id}: {made:?}");
        }
        let without = |group: &mut Group| {
            group.set_default(false);
            Ok::<_, Infallible>(())
        };
        db.store.change_group(&group_id("a"), None, &by(), without).await.unwrap();
        assert!(db.store.create_group(default("f", owner()), &by()).await.is_ok());
        for id in ["x", "y", "z"] {
            assert!(db.store.create_group(new_group(id), &by()).await.is_ok(), "any number are none");
        }
    }

    async fn of_two_default_groups_made_at_once_one_is(db: ready) {
        let tasks: Vec<_> = (0..6).map(|n| {
            let store = db.another();
            tokio::spawn(async move {
                store.create_group(NewGroup { is_default: true, ..new_group(&format!("g{n}")) }, &by()).await.is_ok()
            })
        }).collect();
        let mut made = 0;
        for task in tasks {
            made += usize::from(task.await.unwrap());
        }
        assert_eq!(made, 1);
    }

    async fn the_group_that_counts_is_the_users_own_then_its_customers_then_the_platforms(db: ready) {
        db.person("u").await;
        let counts = async || {
            let group = db.store.effective_group(&owner(), &user_id("u")).await.unwrap();
            group.map(|group| group.id.to_string())
        };
        assert_eq!(counts().await, None);
        let platform = NewGroup { owner: Owner::Platform, is_default: true, ..new_group("p") };
        db.store.create_group(platform, &by()).await.unwrap();
        assert_eq!(counts().await.as_deref(), Some("p"));
        db.store.create_group(NewGroup { is_default: true, ..new_group("d") }, &by()).await.unwrap();
        assert_eq!(counts().await.as_deref(), Some("d"));
        db.some_group("o").await;
        db.change("u", |user| user.group_id = Some(group_id("o"))).await;
        assert_eq!(counts().await.as_deref(), Some("o"));
        let elsewhere = db.store.effective_group(&Owner::Customer(customer("org_b")), &user_id("u")).await.unwrap();
        assert_eq!(elsewhere.unwrap().id, group_id("p"));
        let of_platform = db.store.effective_group(&Owner::Platform, &user_id("x")).await.unwrap();
        assert_eq!(of_platform.unwrap().id, group_id("p"));
    }

    async fn a_user_belongs_to_one_group_and_leaves_it_when_it_is_deleted(db: ready) {
        for id in ["g", "h"] {
            db.some_group(id).await;
        }
        db.person("u").await;
        let members = async |id: &str| db.store.members(&group_id(id), None, 10).await.unwrap().len();
        db.change("u", |user| user.group_id = Some(group_id("g"))).await;
        let moved = db.change("u", |user| user.group_id = Some(group_id("h"))).await;
        assert_eq!((moved.version, members("g").await, members("h").await), (3, 0, 1));
        let gone = db.store.change_user(&user_id("u"), None, "update", &by(), |user| {
            user.group_id = Some(group_id("x"));
            Ok::<_, Infallible>(())
        }).await;
        assert!(matches!(gone, Err(NotChanged::Store(Error::Missing("group")))));
        assert_eq!(db.user_now("u").await, moved);
        db.store.delete_user(&user_id("u"), None, &by(), |_| Ok::<_, Infallible>(())).await.unwrap();
        assert_eq!((members("h").await, db.store.user(&user_id("u")).await.unwrap()), (0, None));
        assert_eq!(db.audited().await, 6, "the log stays, with an entry of the deletion");
    }

    async fn deleting_a_group_frees_its_members_in_the_same_transaction(db: ready) {
        db.some_group("g").await;
        for n in 0..600 {
            db.database.execute(&format!(
                "INSERT INTO group_members (customer_id, user_id, group_id) VALUES ('org_b', 'm{n:03}', 'g')"
            )).await;
        }
        db.person("u").await;
        db.change("u", |user| user.group_id = Some(group_id("g"))).await;
        let refused = db.store.delete_group(&group_id("g"), None, &by(), |_, members| Err(members)).await;
        assert!(matches!(refused, Err(NotChanged::Refused(601))));
        let stale = db.store.delete_group(&group_id("g"), Some(2), &by(), |_, _| Ok::<_, Infallible>(())).await;
        assert!(matches!(stale, Err(NotChanged::Stale)));
        assert_eq!(db.user_now("u").await.group_id, Some(group_id("g")));
        db.store.delete_group(&group_id("g"), Some(1), &by(), |_, _| Ok::<_, Infallible>(())).await.unwrap();
        let user = db.user_now("u").await;
        assert_eq!((user.group_id, user.version), (None, 3), "the group is a part of the user");
        assert_eq!(db.database.int("SELECT COUNT(*) FROM group_members").await, 0);
        let diffs = db.database.texts("SELECT diff FROM audit_log WHERE action = 'delete'").await;
        assert_eq!(diffs.len(), 1);
        assert!(diffs[0].contains("\"m599\"") && diffs[0].contains("\"u\""), "its members are named");
    }

    async fn a_member_added_while_its_group_is_deleted_is_not_left_in_it(db: ready) {
        for round in 0..10 {
            let group = format!("g{round}");
            db.some_group(&group).await;
            let mut tasks = Vec::new();
            for n in 0..4 {
                let id = format!("u{round}-{n}");
                db.person(&id).await;
                let (store, group) = (db.another(), group_id(&group));
                tasks.push(tokio::spawn(async move {
                    let added = store.change_user(&user_id(&id), None, "update", &by(), move |user| {
                        user.group_id = Some(group.clone());
                        Ok::<_, Infallible>(())
                    }).await;
                    assert!(matches!(added, Ok(_) | Err(NotChanged::Store(Error::Missing("group")))), "{added:?}");
                }));
            }
            let (store, group) = (db.another(), group_id(&group));
            tasks.push(tokio::spawn(async move {
                store.delete_group(&group, None, &by(), |_, _| Ok::<_, Infallible>(())).await.unwrap();
            }));
            for task in tasks {
                task.await.unwrap();
            }
        }
        assert_eq!(db.database.int("SELECT COUNT(*) FROM group_members").await, 0);
        assert_eq!(db.database.int("SELECT COUNT(*) FROM user_groups").await, 0);
    }

    async fn a_mirrored_user_is_moved_from_the_group_that_was_seen(db: ready) {
        let page = Page { changes: vec![mirrored_user("m", 1, "org_a")], ..Page::default() };
        db.store.apply_page(Entity::Users, None, page).await.unwrap();
        for id in ["g", "h"] {
            db.some_group(id).await;
        }
        let before = db.audited().await;
        let set = async |seen: Option<&str>, group: Option<&str>| {
            let (seen, group) = (seen.map(group_id), group.map(group_id));
            db.store.set_mirrored_group(&customer("org_a"), &user_id("m"), seen, group, &by()).await
        };
        set(None, Some("g")).await.unwrap();
        set(Some("g"), Some("g")).await.unwrap();
        assert!(matches!(set(None, Some("h")).await, Err(NotChanged::Stale)));
        assert!(matches!(set(Some("g"), Some("x")).await, Err(NotChanged::Store(Error::Missing("group")))));
        set(Some("g"), Some("h")).await.unwrap();
        assert_eq!(db.store.membership(&owner(), &user_id("m")).await.unwrap(), Some(group_id("h")));
        set(Some("h"), None).await.unwrap();
        assert_eq!(db.store.membership(&owner(), &user_id("m")).await.unwrap(), None);
        assert_eq!(db.audited().await - before, 3);
    }

    async fn the_members_of_a_group_are_walked_in_one_order(db: ready) {
        db.some_group("g").await;
        for (owner, id) in [("org_b", "a"), ("", "c"), ("org_a", "b"), ("org_b", "b")] {
            db.database.execute(&format!(
                "INSERT INTO group_members (customer_id, user_id, group_id) VALUES ('{owner}', '{id}', 'g')"
            )).await;
        }
        let (mut walked, mut last) = (Vec::new(), None);
        loop {
            let page = db.store.members(&group_id("g"), last.as_ref(), 1).await.unwrap();
            let Some(member) = page.into_iter().next() else { break };
            walked.push(format!("{} {}", member.owner.as_str(), member.user_id));
            last = Some(member);
        }
        assert_eq!(walked, [" c", "org_a b", "org_b a", "org_b b"]);
    }

    async fn users_and_groups_are_listed_by_every_filter_together(db: ready) {
        db.some_group("g").await;
        for n in 0..6 {
            let new = NewUser {
                owner: if n < 4 { owner() } else { Owner::Platform },
                role: if n % 2 == 0 { UserRole::Admin } else { UserRole::User },
                is_active: n != 1,
                group_id: (n < 3).then(|| group_id("g")),
                ..new_user(&format!("u{n}"), &format!("name-{}", n % 4))
            };
            db.store.create_user(new, &by()).await.unwrap();
        }
        let ids = async |filter: UserFilter| {
            let users = db.store.list(&filter, &Window::oldest(10)).await.unwrap();
            assert_eq!(db.store.count(&filter, 10).await.unwrap(), i64::try_from(users.len()).unwrap());
            users.iter().map(|user| user.0.id.as_str()[1..].to_owned()).collect::<String>()
        };
        let whole = UserFilter::default;
        let (admins, group) = (Some(UserRole::Admin), Some(group_id("g")));
        assert_eq!(ids(whole()).await, "012345");
        assert_eq!(ids(UserFilter { owner: Some(Owner::Platform), ..whole() }).await, "45");
        assert_eq!(ids(UserFilter { username: Username::parse("name-0").ok(), ..whole() }).await, "04");
        assert_eq!(ids(UserFilter { role: admins, ..whole() }).await, "024");
        assert_eq!(ids(UserFilter { is_active: Some(false), ..whole() }).await, "1");
        assert_eq!(ids(UserFilter { group_id: group.clone(), ..whole() }).await, "012");
        assert_eq!(ids(UserFilter { group_id: group, role: admins, owner: Some(owner()), ..whole() }).await, "02");
        assert_eq!(ids(UserFilter { group_id: Some(group_id("x")), ..whole() }).await, "");
        let listed = db.store.list(&whole(), &Window::oldest(1)).await.unwrap();
        assert_eq!(listed[0].0, db.user_now("u0").await, "its group is shown");
        let named = GroupFilter { name: Some("name of g".into()), ..GroupFilter::default() };
        assert_eq!(db.store.list(&named, &Window::newest(5)).await.unwrap().len(), 1);
        let of_platform = GroupFilter { owner: Some(Owner::Platform), ..GroupFilter::default() };
        assert!(db.store.list(&of_platform, &Window::newest(5)).await.unwrap().is_empty());
    }
}

/// A name that no other call gives.
fn random_name() -> String {
    crate::random_bytes::<8>().iter().map(|byte| format!("{byte:02x}")).collect()
}
