//! What control and supervisor last said, and the one `instance.json` made of it. Pure.

use fairway_shared::instance::{ControlStatus, Instance, SupervisorStatus};

/// The last word of each process, and whether it lives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Board {
    control: ControlStatus,
    control_pid: Option<u32>,
    supervisor: SupervisorStatus,
    supervisor_pid: Option<u32>,
}

impl Board {
    /// Control runs as `pid`, or does not run. Its addresses stay known.
    pub(crate) fn control_is(&mut self, pid: Option<u32>) {
        self.control_pid = pid;
    }

    /// The supervisor runs as `pid`, or does not run.
    pub(crate) fn supervisor_is(&mut self, pid: Option<u32>) {
        self.supervisor_pid = pid;
    }

    /// A status line of control.
    pub(crate) fn control_said(&mut self, status: ControlStatus) {
        self.control = status;
    }

    /// A status line of the supervisor.
    pub(crate) fn supervisor_said(&mut self, status: SupervisorStatus) {
        self.supervisor = status;
    }

    /// Where control answers, or answered; `None` before it ever said so.
    pub(crate) fn control(&self) -> Option<&ControlStatus> {
        (!self.control.grpc.is_empty()).then_some(&self.control)
    }

    /// The whole, as `instance.json` has it.
    pub(crate) fn instance(&self) -> Instance {
        let said = self.supervisor.clone();
        let mut instance = Instance {
            control: self.control.clone(),
            supervisor: said.supervisor,
            workers: said.workers,
            listeners: said.listeners,
            snapshot: said.snapshot,
            ready: said.ready && self.supervisor_pid.is_some(),
        };
        // A control that has not said yet where it answers is not up for anybody.
        instance.control.pid = self.control_pid.filter(|pid| self.control.pid == Some(*pid));
        instance.supervisor.pid = self.supervisor_pid;
        // A pin lives in the control process and dies with it.
        instance.snapshot.pinned = self.control.pinned && instance.control.pid.is_some();
        instance.control.pinned = false;
        instance
    }
}

#[cfg(test)]
mod tests {
    use fairway_shared::instance::WorkerStatus;

    use super::*;

    fn control(pid: u32) -> ControlStatus {
        let grpc = "127.0.0.1:1".to_owned();
        ControlStatus { pid: Some(pid), grpc, ..ControlStatus::default() }
    }

    #[test]
    fn control_keeps_its_addresses_while_it_is_down() {
        let mut board = Board::default();
        assert_eq!(board.control(), None);
        board.control_is(Some(7));
        board.control_said(control(7));
        assert_eq!(board.instance().control, control(7));

        board.control_is(None);
        let down = board.instance().control;
        assert_eq!((down.pid, down.grpc.as_str()), (None, "127.0.0.1:1"));
        assert_eq!(board.control(), Some(&control(7)));

        board.control_is(Some(8));
        assert_eq!(board.instance().control.pid, None, "it has not said where it answers");
        board.control_said(control(8));
        assert_eq!(board.instance().control.pid, Some(8));
    }

    #[test]
    fn a_pin_is_the_snapshots_and_ends_with_control() {
        let mut board = Board::default();
        board.control_is(Some(7));
        board.control_said(ControlStatus { pinned: true, ..control(7) });
        let held = board.instance();
        assert!(held.snapshot.pinned && !held.control.pinned);
        board.control_is(None);
        assert!(!board.instance().snapshot.pinned);
    }

    #[test]
    fn an_instance_without_its_supervisor_is_not_ready() {
        let workers = vec![WorkerStatus { id: 0, ..WorkerStatus::default() }];
        let status = SupervisorStatus { ready: true, workers, ..SupervisorStatus::default() };
        let mut board = Board::default();
        board.supervisor_is(Some(3));
        board.supervisor_said(status);
        let up = board.instance();
        assert!(up.ready);
        assert_eq!((up.supervisor.pid, up.workers.len()), (Some(3), 1));
        board.supervisor_is(None);
        let down = board.instance();
        assert!(!down.ready);
        assert_eq!((down.supervisor.pid, down.workers.len()), (None, 1));
    }
}
