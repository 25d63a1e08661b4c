//! Protocol, ids and limits shared by every part of Conveyor.
