//! A Gearman worker.
