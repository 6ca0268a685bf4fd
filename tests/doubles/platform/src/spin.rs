//! The double of Spin: an application's server that asks Bindle for its invoice and says which it is.
//! May not run an application.
pub fn main(_: Vec<String>) -> std::process::ExitCode {
    std::process::ExitCode::FAILURE
}
