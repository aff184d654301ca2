//! How actors hand state to requests: one writer, many readers, one thread.

use std::cell::RefCell;
use std::rc::Rc;

/// The writer's end. Only its owner can publish.
#[derive(Debug)]
pub struct Published<T>(Rc<RefCell<Rc<T>>>);

/// A reader's end.
#[derive(Debug)]
pub struct View<T>(Rc<RefCell<Rc<T>>>);

impl<T> Published<T> {
    /// Starts with a first value; there is always one.
    pub fn new(first: impl Into<Rc<T>>) -> Self {
        Self(Rc::new(RefCell::new(first.into())))
    }

    /// Replaces the value for all who load from now on.
    pub fn publish(&self, next: impl Into<Rc<T>>) {
        self.0.replace(next.into());
    }

    /// A reader's end.
    pub fn view(&self) -> View<T> {
        View(Rc::clone(&self.0))
    }
}

impl<T> View<T> {
    /// The value of this instant. Load it once per request and keep it to the end.
    pub fn load(&self) -> Rc<T> {
        Rc::clone(&self.0.borrow())
    }
}

impl<T> Clone for View<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_keeps_what_it_loaded() {
        let published = Published::new(1);
        let view = published.view();
        let loaded = view.load();
        published.publish(2);
        assert_eq!((*loaded, *view.load()), (1, 2));
    }
}
