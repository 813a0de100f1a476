//! Programs that we start: each in a process group of its own, so that nothing of it is left when it is
//! ended, and findable after a crash of ours by its number together with the time of its start, or by a
//! mark in the environment of what it has started.
//!
//! Source of the fields: proc_pid_stat(5), proc_pid_environ(5).

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value as Json, json};

/// The variable by which what a program has started is recognised after the program itself has ended.
pub const MARK: &str = "POINTSMAN_ATTEMPT";

/// What is written down about a process before it is given work. `mark` is the value of [`MARK`] in its
/// environment, another one for each process that we start.
pub fn note(pid: u32, mark: &str) -> Option<Json> {
    let stat = Stat::of(pid)?;
    Some(json!({ "process": { "pid": pid, "started": stat.started, "boot": boot(), "mark": mark } }))
}

/// Ends what a process of a former life of ours left running. One that merely has the same number is not
/// touched.
pub fn end_leftover(note: &Json) {
    let number = |pointer: &str| note.pointer(pointer).and_then(Json::as_u64);
    let text = |pointer: &str| note.pointer(pointer).and_then(Json::as_str);
    let Some((pid, started)) = number("/process/pid").zip(number("/process/started")) else { return };
    let Ok(pid) = u32::try_from(pid) else { return };
    // What a former boot of the machine left is gone, and its numbers mean others now.
    let same_boot = text("/process/boot") == boot().as_deref();
    let is_our_own = Pid::as_raw(Some(rustix::process::getpgrp())).cast_unsigned() == pid;
    let is_leftover = same_boot
        && !is_our_own
        && match Stat::of(pid) {
            Some(leader) => leader.started == started,
            // While members of a group live, its number is given to no new group: one with the mark is enough.
            None => text("/process/mark").is_some_and(|mark| members(pid).any(|member| has_mark(member, mark))),
        };
    if is_leftover {
        tracing::warn!(pid, "a program that outlived a former process is ended");
        end_group(pid, Signal::KILL);
    }
}

/// Names this boot of the machine.
fn boot() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned())
}

fn has_mark(pid: u32, mark: &str) -> bool {
    let environment = std::fs::read(Path::new("/proc").join(pid.to_string()).join("environ")).unwrap_or_default();
    let marked = format!("{MARK}={mark}");
    environment.split(|byte| *byte == 0).any(|variable| variable == marked.as_bytes())
}

/// Sends a signal to a whole process group.
pub fn end_group(leader: u32, signal: Signal) {
    if let Some(group) = i32::try_from(leader).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _ = kill_process_group(group, signal);
    }
}

/// The processes of a group that are not yet gone; one that only waits to be reaped is.
pub fn members(group: u32) -> impl Iterator<Item = u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(move |pid| Stat::of(*pid).is_some_and(|stat| stat.group == group && !stat.is_zombie))
}

struct Stat {
    is_zombie: bool,
    group: u32,
    /// Clock ticks since the machine started.
    started: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?)
    }

    /// The name in the second field may hold anything, also blanks and parentheses.
    fn parse(stat: &str) -> Option<Self> {
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // The state is field 3, the group field 5, the start field 22.
        Some(Self {
            is_zombie: fields.first() == Some(&"Z"),
            group: fields.get(2)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    use super::*;

    fn sleeper() -> Child {
        Command::new("sleep").arg("300").process_group(0).spawn().unwrap()
    }

    #[test]
    fn a_leftover_is_found_and_ended() {
        let mut child = sleeper();
        let note = note(child.id(), "m").unwrap();
        end_leftover(&note);
        assert!(!child.wait().unwrap().success());
        assert_eq!(members(child.id()).count(), 0);
        end_leftover(&note);
    }

    /// A leader that has ended and left a child alone; the child has this mark.
    fn without_leader(mark: &str) -> (u32, Json) {
        let mut leader = Command::new("sh");
        leader.args(["-c", "sleep 300 & read _"]).process_group(0).env(MARK, mark).stdin(std::process::Stdio::piped());
        let mut leader = leader.spawn().unwrap();
        let note = note(leader.id(), "ours").unwrap();
        // It reads until its input is closed.
        leader.wait().unwrap();
        assert_eq!(members(leader.id()).count(), 1);
        (leader.id(), note)
    }

    /// A signal takes a moment to be delivered.
    fn is_gone(group: u32) -> bool {
        (0..3_000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            members(group).next().is_none()
        })
    }

    #[test]
    fn what_is_left_without_its_leader_is_ended() {
        let (group, note) = without_leader("ours");
        end_leftover(&note);
        assert!(is_gone(group));
    }

    #[test]
    fn another_group_with_the_same_number_is_not_touched() {
        let (group, note) = without_leader("somebody's");
        end_leftover(&note);
        assert_eq!(members(group).count(), 1);
        end_group(group, Signal::KILL);
        assert!(is_gone(group));
    }

    #[test]
    fn another_process_with_the_same_id_is_not_touched() {
        let mut child = sleeper();
        for (field, value) in [("started", Json::from(1)), ("boot", Json::from("another"))] {
            let mut note = note(child.id(), "m").unwrap();
            note["process"][field] = value;
            end_leftover(&note);
            assert_eq!(child.try_wait().unwrap(), None, "{field}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let rest: Vec<String> = (4..=22).map(|field| field.to_string()).collect();
        let stat = Stat::parse(&format!("7 (a) b (c) S {}", rest.join(" "))).unwrap();
        assert_eq!((stat.group, stat.started, stat.is_zombie), (5, 22, false));
    }
}
