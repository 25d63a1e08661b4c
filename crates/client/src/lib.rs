//! A Gearman client and admin client.
