//! The same program as `tenure`, built where the stories can find it.

use std::process::ExitCode;

fn main() -> ExitCode {
    tenure_server::cli::main()
}
