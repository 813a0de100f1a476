//! A server that is a process of its own. It ends with whoever holds it.

use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::bail;

/// The pause between two looks at whether it is there.
const LOOK: Duration = Duration::from_millis(5);

/// Looks before a server is taken not to come up: thirty seconds.
const LOOKS: u32 = 6_000;

/// A server that listens.
pub struct Running {
    /// The process.
    pub child: Child,
    /// Where it listens, such as `http://127.0.0.1:3000`.
    pub base: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// The server that `spawn` starts on this data directory, as soon as it has written there where it listens.
    pub async fn start(data: &Path, spawn: impl FnOnce() -> anyhow::Result<Child>) -> anyhow::Result<Self> {
        let address = data.join("server.addr");
        let _ = std::fs::remove_file(&address);
        let mut running = Self { child: spawn()?, base: String::new() };
        for _ in 0..LOOKS {
            if let Some(status) = running.child.try_wait()? {
                bail!("the server ended at start-up: {status}");
            }
            match std::fs::read_to_string(&address) {
                Ok(text) if !text.is_empty() => {
                    running.base = format!("http://{text}");
                    return Ok(running);
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
        bail!("the server did not come up within {:?}", LOOK * LOOKS)
    }
}
