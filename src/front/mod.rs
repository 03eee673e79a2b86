//! Floor 5, the doors: how the outside asks for something, over HTTP and on pages.

mod accepting;
pub mod dashboard;
pub mod http;
pub mod resp;
pub mod shipped;
mod stream;
pub mod tls;
