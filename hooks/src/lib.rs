//! A git hook's arguments and stdin become a typed event; the event is judged by the one legality
//! table.

pub mod event;
pub mod judgement;
pub mod shim;
