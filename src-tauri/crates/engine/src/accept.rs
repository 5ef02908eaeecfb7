//! Takes the next connection, and neither gives up nor spins where the system refuses one.
//!
//! It must not tell connections apart: that is for who listens.

use std::{io, time::Duration};

/// How soon it is tried again: too many files are open, say, and some will be closed.
const AGAIN: Duration = Duration::from_millis(200);

/// The next connection.
pub(crate) async fn next<T, F: Future<Output = io::Result<T>>>(mut accept: impl FnMut() -> F) -> T {
    loop {
        match accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::debug!(%error, "a connection could not be taken");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_system_that_refuses_is_asked_a_few_times_a_second_until_it_gives_one() {
        let began = tokio::time::Instant::now();
        let mut asked = 0_u32;
        let accepted = next(|| {
            asked += 1;
            let refused = began.elapsed() < Duration::from_secs(10);
            std::future::ready(if refused {
                Err(io::Error::other("too many open files"))
            } else {
                Ok("a connection")
            })
        });
        assert_eq!(accepted.await, "a connection");
        assert_eq!(asked, 51);
    }
}
