//! What a worker can do, and which job it gets.

use super::abilities::{Ability, Rank};
use super::conns::Nap;
use super::effect::{Effects, Reply};
use super::functions::FunctionId;
use super::job::{JobId, Run, Standing};
use super::timers::Timer;
use super::{Compat, Core, MAX_ABILITIES};
use bytes::Bytes;
use conveyor_common::protocol::GrabForm;
use conveyor_common::{ConnId, Millis, Priority};

/// Shortest limit on a job that CAN_DO_TIMEOUT can set, in milliseconds.
const MIN_TIMEOUT_MS: u64 = 1000;

impl Core {
    /// CAN_DO and CAN_DO_TIMEOUT. Registering twice counts twice, as in gearmand.
    pub(super) fn can_do(
        &mut self,
        now: Millis,
        id: ConnId,
        name: &Bytes,
        timeout_ms: i64,
        fx: &mut Effects,
    ) {
        let Some(conn) = self.conns.get(id) else { return };
        if conn.abilities.len() >= MAX_ABILITIES {
            return fx.close(id, "the connection registered more functions than the server can hold");
        }
        let Some(function) = self.function_for(id, name, fx) else { return };
        let nap = self.leave_crew(id);
        if let Some(function) = self.functions.get_mut(function) {
            function.workers += 1;
        }
        let timeout_ms = match u64::try_from(timeout_ms) {
            Ok(0) | Err(_) => 0,
            Ok(ms) => ms.max(MIN_TIMEOUT_MS),
        };
        if let Some(conn) = self.conns.get_mut(id) {
            conn.abilities.push_front(Ability { function, timeout_ms });
        }
        self.resume_nap(now, id, nap, fx);
    }

    /// CANT_DO: takes every registration of the function back, and the running jobs of it away.
    pub(super) fn cant_do(&mut self, now: Millis, id: ConnId, name: &Bytes, fx: &mut Effects) {
        let Some(function) = self.functions.find(name) else { return };
        self.drop_abilities(now, id, Some(function), fx);
    }

    /// RESET_ABILITIES, or the end of a connection.
    pub(super) fn drop_abilities(
        &mut self,
        now: Millis,
        id: ConnId,
        only: Option<FunctionId>,
        fx: &mut Effects,
    ) {
        let nap = self.leave_crew(id);
        let Some(conn) = self.conns.get_mut(id) else { return };
        match only {
            Some(only) => {
                let gone = conn.abilities.drop_function(only);
                if let Some(function) = self.functions.get_mut(only) {
                    function.workers = function.workers.saturating_sub(gone);
                }
            }
            None => {
                for ability in std::mem::take(&mut conn.abilities).iter() {
                    if let Some(function) = self.functions.get_mut(ability.function) {
                        function.workers = function.workers.saturating_sub(1);
                    }
                }
            }
        }
        self.lose_held(now, id, only, fx);
        self.resume_nap(now, id, nap, fx);
        // Jobs this connection was expected to take need somebody else now.
        if nap != Nap::Awake {
            let waiting = self.functions.runnable().to_vec();
            waiting.into_iter().for_each(|function| self.restore_wakeups(now, function, fx));
        }
    }

    /// GRAB_JOB in its three forms.
    pub(super) fn grab(&mut self, now: Millis, id: ConnId, form: GrabForm, fx: &mut Effects) {
        let came_back = self.conns.get(id).is_some_and(|conn| matches!(conn.nap, Nap::Woken { .. }));
        self.rouse(id);
        match self.choose(id) {
            Some((at, priority)) => {
                if came_back {
                    self.calm_down(id, at);
                }
                self.assign(now, id, at, priority, form, fx);
            }
            None => fx.send(id, Reply::NoJob),
        }
        if came_back {
            self.restore_wakeups_for(now, id, fx);
        }
    }

    /// A woken worker takes a job: the next unanswered NOOP is the first one again.
    fn calm_down(&mut self, id: ConnId, at: Rank) {
        let ability = self.conns.get(id).and_then(|conn| conn.abilities.get(at));
        if let Some(function) = ability.and_then(|ability| self.functions.get_mut(ability.function)) {
            function.escalation = 0;
        }
    }

    /// Which of its abilities the connection works on next, and at which priority. Jobs nobody wants are
    /// cleared away as they are met.
    ///
    /// gearmand 2.0 compares priorities across functions first; 1.1 drains the newest registration first.
    pub(super) fn choose(&mut self, id: ConnId) -> Option<(Rank, Priority)> {
        let functions = &self.functions;
        let has_stale = |id| functions.get(id).is_some_and(|function| function.stale > 0);
        let stale = self.conns.get(id)?.abilities.among(functions.stale(), has_stale);
        stale.into_iter().for_each(|function| self.purge(function));

        let (functions, abilities) = (&self.functions, &self.conns.get(id)?.abilities);
        let runnable = |id, priority| functions.get(id).is_some_and(|it| it.ready.runnable(priority) > 0);
        match self.rules.compat {
            Compat::V2_0 => Priority::ALL.into_iter().find_map(|priority| {
                let listed = functions.runnable_at(priority);
                let at = abilities.first_of(listed, |function| runnable(function, priority))?;
                Some((at, priority))
            }),
            Compat::V1_1 => {
                let any = |id| functions.get(id).is_some_and(|it| it.ready.runnable_total() > 0);
                let at = abilities.first_of(functions.runnable(), any)?;
                let function = abilities.get(at)?.function;
                let priority = Priority::ALL.into_iter().find(|priority| runnable(function, *priority))?;
                Some((at, priority))
            }
        }
    }

    /// Clears jobs nobody wants from the heads of the queues of a function.
    fn purge(&mut self, function_id: FunctionId) {
        for priority in Priority::ALL {
            while let Some(function) = self.functions.get_mut(function_id)
                && function.stale > 0
                && let Some(id) = function.ready.first(priority)
                && self.jobs.get(id).is_none_or(|job| job.standing != Standing::Wanted)
            {
                function.ready.pop(priority);
                self.forget_stale(function_id, priority, id);
            }
        }
    }

    /// A job nobody wants has left its ready queue: it vanishes.
    pub(super) fn forget_stale(&mut self, function: FunctionId, priority: Priority, id: JobId) {
        self.count_stale(function, false);
        if let Some(function) = self.functions.get_mut(function) {
            let queued = function.queued.of_mut(priority);
            *queued = queued.saturating_sub(1);
        }
        self.jobs.remove(id);
    }

    /// Hands the first runnable job of an ability to the connection.
    fn assign(
        &mut self,
        now: Millis,
        id: ConnId,
        at: Rank,
        priority: Priority,
        form: GrabForm,
        fx: &mut Effects,
    ) {
        let Some(ability) = self.rotate(id, at) else { return };
        let Some(job_id) = self.take_first(ability.function, priority) else { return };
        self.grabs += 1;
        let turn = self.grabs;
        let Some(conn) = self.conns.get_mut(id) else { return };
        let slot = u32::try_from(conn.held.insert(job_id)).unwrap_or(u32::MAX);
        let timed = ability.timeout_ms > 0;
        if timed {
            self.timers.set(Timer::Expiry(job_id), now.plus(ability.timeout_ms));
        }
        let Some(function) = self.functions.get_mut(ability.function) else { return };
        function.running += 1;
        self.jobs.start(job_id, Run { conn: id, slot, turn, timed, numerator: 0, denominator: 0 });
        let Some(job) = self.jobs.get(job_id) else { return };
        if job.spilled {
            return self.fetch_for(id, job_id, form, fx);
        }
        if let Some(reply) = self.assignment(job_id, form, job.payload_bytes()) {
            fx.send(id, reply);
        }
    }

    /// The ability at `at`; under round-robin it goes to the end of the list.
    fn rotate(&mut self, id: ConnId, at: Rank) -> Option<Ability> {
        let round_robin = self.rules.round_robin || self.rules.compat == Compat::V2_0;
        let abilities = &mut self.conns.get_mut(id)?.abilities;
        let ability = abilities.get(at)?;
        if round_robin {
            abilities.rotate(at);
        }
        Some(ability)
    }

    fn take_first(&mut self, function_id: FunctionId, priority: Priority) -> Option<JobId> {
        loop {
            let function = self.functions.get_mut(function_id)?;
            let id = function.ready.pop(priority)?;
            if self.jobs.get(id).is_some_and(super::job::Job::is_runnable) {
                let queued = function.queued.of_mut(priority);
                *queued = queued.saturating_sub(1);
                function.ready.count_runnable(priority, false);
                function.taken = true;
                self.functions.list_runnable(function_id, priority);
                return Some(id);
            }
            self.forget_stale(function_id, priority, id);
        }
    }
}
