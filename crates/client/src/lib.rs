//! Talking to a Gearman server from outside: the admin client.

pub mod admin;
