//! Bytes by their digest: where they can be had, how they come, where they are kept. Both programs fetch and keep by this.
//! May not decide what is wanted: a plan does; nor speak to anybody: whoever fetches is told, and says it in his own way.

pub mod amount;
pub mod bundle;
pub mod date;
pub mod failure;
mod flow;
pub mod http;
pub mod json;
mod lane;
pub mod origin;
pub mod part;
pub mod percent;
pub mod probe;
pub mod proxy;
pub mod pump;
mod race;
pub mod resolve;
pub mod signature;
pub mod stock;
pub mod store;
pub mod take;
pub mod tls;
pub mod transfer;
pub mod validity;
mod via;
