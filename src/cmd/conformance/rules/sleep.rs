//! Sleeping workers and who is woken. Rules that count NOOPs look at what is sent first, and answer quickly.

use crate::cmd::conformance::ctx::packet::{
    ECHO_REQ, GRAB_JOB, NOOP, PRE_SLEEP, SUBMIT_JOB, SUBMIT_JOB_BG, SUBMITS,
};
use crate::cmd::conformance::ctx::{Checked, Ctx, Failure, Peer, check, check_eq};
use crate::cmd::conformance::rule::rules;
use std::time::{Duration, Instant};

rules! { "sleep":
    R150 [] "PRE_SLEEP while a job waits is answered by NOOP at once." => job_waits;
    R151 [] "PRE_SLEEP repeated while a job waits gets a NOOP each time." => repeated;
    R152 [] "PRE_SLEEP without a job is not answered." => no_job;
    R153 [] "A sleeping worker gets a NOOP when a job for it comes, whichever way it was submitted." => woken;
    R154 [] "A job for another function does not wake a worker." => other_function;
    R155 [] "A worker that is not asleep gets no NOOP." => awake;
    R156 [] "A woken worker that has grabbed and not slept again gets no NOOP." => grabbed;
    R157 [] "A worker that was woken, worked and slept again is woken again." => woken_again;
    R158 [bug] "A worker that was woken, found nothing to grab and slept again is woken again." =>
        sleeps_without_grab;
    R159 [] "A GRAB_JOB that finds nothing ends the sleep." => grab_ends_sleep;
    R160 [] "A submission that coalesces wakes nobody." => coalesced_wakes_nobody;
    R161 [options("--worker-wakeup=1")] "With --worker-wakeup=1 a job wakes one of three sleepers." =>
        |c| wakes(c, 1);
    R162 [options("--worker-wakeup=2")] "With --worker-wakeup=2 a job wakes two of three sleepers." =>
        |c| wakes(c, 2);
    R163 [options("--worker-wakeup=0")] "With --worker-wakeup=0 a job wakes all sleepers." => |c| wakes(c, 3);
    R164 [options("--worker-wakeup=1")] "With --worker-wakeup=1 the sleepers are woken in turn." => in_turn;
    R165 [] "A job wakes at least one of several sleepers." => at_least_one;
    R166 [] "The job of a lost worker wakes a sleeper." => lost_job_wakes;
    R167 [] "A sleeping worker may send other requests and sleeps on." => requests_while_asleep;
    R168 [] "PRE_SLEEP of a connection without abilities is not answered." => no_abilities;
    R169 [] "PRE_SLEEP forgets a queued job whose client has left." => forgets_abandoned;
    R170 [] "As many jobs as sleepers wake them all." => all_for_as_many;
    R171 [] "A worker asleep for several functions is woken by a job of any." => any_function;
    R172 [] "A worker that took an ability back in its sleep is not woken for it." => ability_gone;
    R173 [] "A worker that disconnects in its sleep does not keep others from being woken." => sleeper_gone;
}

fn job_waits(c: &Ctx) -> Checked {
    let f = c.name("f");
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    let mut w = c.worker(&[&f])?;
    w.send(PRE_SLEEP, &[])?;
    w.noop()?;
    w.grab(&h, &f, "x")
}

fn repeated(c: &Ctx) -> Checked {
    let f = c.name("f");
    c.peer()?.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    let mut w = c.worker(&[&f])?;
    for _ in 0..3 {
        w.send(PRE_SLEEP, &[])?;
        w.noop()?;
    }
    w.sync()
}

fn no_job(c: &Ctx) -> Checked {
    c.worker(&[&c.name("f")])?.sleep()
}

fn woken(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut w = c.worker(&[&f])?;
    for kind in SUBMITS {
        let mut client = c.peer()?;
        w.sleep()?;
        let h = client.submit(kind, &f, "", "x")?;
        w.noop()?;
        w.grab(&h, &f, "x")?;
        w.complete(&h, "y")?;
    }
    Ok(())
}

fn other_function(c: &Ctx) -> Checked {
    let mut w = c.worker(&[&c.name("f")])?;
    w.sleep()?;
    c.peer()?.submit(SUBMIT_JOB_BG, c.name("g"), "", "x")?;
    c.silence();
    w.sync()
}

fn awake(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut w = c.worker(&[&f])?;
    c.peer()?.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    c.silence();
    w.sync()
}

fn grabbed(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let mut w = c.worker(&[&f])?;
    w.sleep()?;
    let h = client.submit(SUBMIT_JOB_BG, &f, "", "1")?;
    w.noop()?;
    w.grab(&h, &f, "1")?;
    client.submit(SUBMIT_JOB_BG, &f, "", "2")?;
    c.silence();
    w.sync()
}

fn woken_again(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let mut w = c.worker(&[&f])?;
    for _ in 0..5 {
        w.sleep()?;
        let h = client.submit(SUBMIT_JOB, &f, "", "x")?;
        w.noop()?;
        w.grab(&h, &f, "x")?;
        w.complete(&h, "y")?;
        client.completed(&h, "y")?;
    }
    Ok(())
}

fn sleeps_without_grab(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let (mut sleeper, mut quick) = (c.worker(&[&f])?, c.worker(&[&f])?);
    sleeper.sleep()?;
    let first = client.submit(SUBMIT_JOB_BG, &f, "", "1")?;
    sleeper.noop()?;
    quick.grab(&first, &f, "1")?;
    sleeper.sleep()?;
    let second = client.submit(SUBMIT_JOB_BG, &f, "", "2")?;
    sleeper.noop()?;
    sleeper.grab(&second, &f, "2")
}

fn grab_ends_sleep(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut w = c.worker(&[&f])?;
    w.sleep()?;
    w.no_job()?;
    c.peer()?.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    c.silence();
    w.sync()
}

fn coalesced_wakes_nobody(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let h = client.submit(SUBMIT_JOB, &f, "u", "x")?;
    let mut busy = c.worker(&[&f])?;
    busy.grab(&h, &f, "x")?;
    let mut sleeper = c.worker(&[&f])?;
    sleeper.sleep()?;
    check_eq("the handle of the second", client.submit(SUBMIT_JOB, &f, "u", "x")?, h)?;
    c.silence();
    sleeper.sync()
}

/// Sends a NOOP-collecting echo to all, and gives the indices of those that were woken before it.
fn woken_ones(workers: &mut [Peer]) -> Checked<Vec<usize>> {
    for worker in workers.iter_mut() {
        worker.send(ECHO_REQ, &[&"round"])?;
    }
    let mut woken = Vec::new();
    for (index, worker) in workers.iter_mut().enumerate() {
        let packet = worker.packet()?;
        if packet.kind == NOOP {
            woken.push(index);
            worker.packet()?;
        }
    }
    Ok(woken)
}

/// A server may wake more when a NOOP stays unanswered for long, so only a quick round counts.
const QUICK: Duration = Duration::from_millis(15);
const ROUNDS: usize = 40;

/// One job wakes this many of three sleepers.
fn wakes(c: &Ctx, count: usize) -> Checked {
    for round in 0..ROUNDS {
        let f = c.name(&round.to_string());
        let mut client = c.peer()?;
        let mut workers = [c.worker(&[&f])?, c.worker(&[&f])?, c.worker(&[&f])?];
        workers.iter_mut().try_for_each(Peer::sleep)?;
        let started = Instant::now();
        client.submit(SUBMIT_JOB_BG, &f, "", "x")?;
        let woken = woken_ones(&mut workers)?;
        if started.elapsed() < QUICK {
            return check_eq("the number of woken workers", woken.len(), count);
        }
    }
    Err(Failure::new("this machine is too busy to count what is woken first"))
}

fn in_turn(c: &Ctx) -> Checked {
    'rounds: for round in 0..ROUNDS {
        let f = c.name(&round.to_string());
        let mut client = c.peer()?;
        let mut workers = [c.worker(&[&f])?, c.worker(&[&f])?, c.worker(&[&f])?];
        let mut order = Vec::new();
        for _ in 0..workers.len() {
            workers.iter_mut().try_for_each(Peer::sleep)?;
            let started = Instant::now();
            let h = client.submit(SUBMIT_JOB, &f, "", "x")?;
            let woken = woken_ones(&mut workers)?;
            if started.elapsed() >= QUICK {
                continue 'rounds;
            }
            check_eq("the number of woken workers", woken.len(), 1)?;
            for index in woken {
                let Some(worker) = workers.get_mut(index) else { continue };
                worker.grab(&h, &f, "x")?;
                worker.complete(&h, "y")?;
                client.completed(&h, "y")?;
                order.push(index);
            }
        }
        if workers.iter_mut().any(|worker| worker.drain().is_ok_and(|extra| !extra.is_empty())) {
            continue;
        }
        let mut distinct = order.clone();
        distinct.sort_unstable();
        distinct.dedup();
        return check(distinct.len() == order.len(), format!("three jobs woke the workers {order:?}"));
    }
    Err(Failure::new("this machine is too busy to see who is woken first"))
}

fn at_least_one(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut workers = [c.worker(&[&f])?, c.worker(&[&f])?, c.worker(&[&f])?];
    workers.iter_mut().try_for_each(Peer::sleep)?;
    c.peer()?.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    check(!woken_ones(&mut workers)?.is_empty(), "nobody was woken")
}

fn lost_job_wakes(c: &Ctx) -> Checked {
    let f = c.name("f");
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    let mut busy = c.worker(&[&f])?;
    busy.grab(&h, &f, "x")?;
    let mut sleeper = c.worker(&[&f])?;
    sleeper.sleep()?;
    drop(busy);
    sleeper.noop()?;
    sleeper.grab(&h, &f, "x")
}

fn requests_while_asleep(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut w = c.worker(&[&f])?;
    w.sleep()?;
    w.status("H:nowhere:1", ["0", "0", "0", "0"])?;
    w.table("status")?;
    w.submit(SUBMIT_JOB_BG, c.name("g"), "", "x")?;
    w.sync()?;
    let h = c.peer()?.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    w.noop()?;
    w.grab(&h, &f, "x")
}

fn no_abilities(c: &Ctx) -> Checked {
    let mut p = c.peer()?;
    p.submit(SUBMIT_JOB_BG, c.name("f"), "", "x")?;
    p.sleep()
}

fn forgets_abandoned(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let h = client.submit(SUBMIT_JOB, &f, "", "x")?;
    drop(client);
    c.until_job(&h, [0, 1, 0])?;
    c.worker(&[&f])?.sleep()?;
    check_eq("the row of the job", c.peer()?.job_row(&h)?, None)
}

fn all_for_as_many(c: &Ctx) -> Checked {
    let f = c.name("f");
    let mut client = c.peer()?;
    let mut workers = [c.worker(&[&f])?, c.worker(&[&f])?, c.worker(&[&f])?];
    workers.iter_mut().try_for_each(Peer::sleep)?;
    for _ in 0..workers.len() {
        client.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    }
    workers.iter_mut().try_for_each(Peer::noop)
}

fn any_function(c: &Ctx) -> Checked {
    let (f, g) = (c.name("f"), c.name("g"));
    let mut w = c.worker(&[&f, &g])?;
    for function in [&f, &g] {
        w.sleep()?;
        let h = c.peer()?.submit(SUBMIT_JOB_BG, function, "", "x")?;
        w.noop()?;
        w.grab(&h, function, "x")?;
    }
    Ok(())
}

fn ability_gone(c: &Ctx) -> Checked {
    let (f, g) = (c.name("f"), c.name("g"));
    let mut w = c.worker(&[&f, &g])?;
    w.sleep()?;
    w.cant_do(&f)?;
    c.peer()?.submit(SUBMIT_JOB_BG, &f, "", "x")?;
    c.silence();
    w.sync()
}

fn sleeper_gone(c: &Ctx) -> Checked {
    let f = c.name("f");
    let (mut gone, mut stays) = (c.worker(&[&f])?, c.worker(&[&f])?);
    stays.sleep()?;
    gone.sleep()?;
    drop(gone);
    c.until_status(&f, [0, 0, 1])?;
    let mut client = c.peer()?;
    client.send(SUBMIT_JOB, &[&f, &"", &"x"])?;
    let h = client.created()?;
    stays.noop()?;
    stays.send(GRAB_JOB, &[])?;
    check_eq("the handle", stays.packet()?.text(0, 3), h)
}
