//! The one binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    tenure_server::cli::main()
}
