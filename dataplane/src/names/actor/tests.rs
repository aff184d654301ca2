use super::*;
use actix::{Addr, System};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Keeps what it is told.
struct Listener(Rc<RefCell<Vec<Vec<IpAddr>>>>);

impl Actor for Listener {
    type Context = Context<Self>;
}

impl Handler<Answered> for Listener {
    type Result = ();

    fn handle(&mut self, answer: Answered, _: &mut Self::Context) {
        self.0.borrow_mut().push(answer.addresses.to_vec());
    }
}

type Heard = Rc<RefCell<Vec<Vec<IpAddr>>>>;

fn listener() -> (Addr<Listener>, Heard) {
    let heard = Heard::default();
    (Listener(Rc::clone(&heard)).start(), heard)
}

fn follow(cluster: &str, who: &Addr<Listener>, names: &[&str]) -> Follow {
    let names = names.iter().map(ToString::to_string).collect();
    Follow { cluster: cluster.into(), who: who.downgrade().recipient(), names }
}

fn found(last: u8) -> Outcome {
    let ttl = Duration::from_secs(1);
    Outcome::Found { addresses: vec![[127, 0, 0, last].into()], ttl }
}

/// Gives these outcomes in turn, and counts the questions. Without one left it never answers.
fn asking(outcomes: Vec<Outcome>) -> (Ask, Rc<RefCell<usize>>) {
    let asked = Rc::new(RefCell::new(0));
    let (count, outcomes) = (Rc::clone(&asked), Rc::new(RefCell::new(VecDeque::from(outcomes))));
    let ask: Ask = Box::new(move |_| {
        *count.borrow_mut() += 1;
        let outcome = outcomes.borrow_mut().pop_front();
        Box::pin(async move {
            match outcome {
                Some(outcome) => outcome,
                None => std::future::pending().await,
            }
        })
    });
    (ask, asked)
}

/// Waits until `is_so`.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not come about");
}

#[test]
fn answers_reach_all_followers_and_a_failure_changes_nothing() {
    System::new().block_on(async {
        let outcomes = vec![found(1), Outcome::Failed, found(2), Outcome::Nothing];
        let (ask, asked) = asking(outcomes);
        let names = NamesActor::new(ask).start();
        let ((one, heard), (other, heard_too)) = (listener(), listener());
        names.do_send(follow("one", &one, &["a"]));
        names.send(Settle).await.unwrap();
        until("the first answer", || heard.borrow().len() == 1).await;
        // The next cluster has it at once: the name is not asked for again.
        names.do_send(follow("other", &other, &["a"]));
        until("what is known", || heard_too.borrow().len() == 1).await;
        assert_eq!(*asked.borrow(), 1);
        until("the end of the name", || heard.borrow().len() == 3).await;
        let ip = |last| vec![IpAddr::from([127, 0, 0, last])];
        assert_eq!(*heard.borrow(), [ip(1), ip(2), vec![]]);
        assert_eq!(*heard.borrow(), *heard_too.borrow());
        assert_eq!(*asked.borrow(), 4);
    });
}

#[test]
fn a_followed_name_keeps_no_cluster_alive() {
    System::new().block_on(async {
        let (ask, _) = asking(vec![found(1)]);
        let names = NamesActor::new(ask).start();
        let (one, heard) = listener();
        names.do_send(follow("one", &one, &["a"]));
        until("the first answer", || heard.borrow().len() == 1).await;
        let left = one.downgrade();
        drop(one);
        until("its end", || left.upgrade().is_none()).await;
    });
}

#[test]
fn a_name_without_an_answer_holds_nothing_up_for_long() {
    System::new().block_on(async {
        let names = NamesActor::new(asking(Vec::new()).0).start();
        let (one, _) = listener();
        names.do_send(follow("one", &one, &["a"]));
        let settled = tokio::time::timeout(FIRST_ANSWERS_MAX * 3, names.send(Settle)).await;
        assert!(settled.is_ok());
    });
}
