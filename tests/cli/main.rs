//! The built program from the outside: exit codes, one-line errors, formats, shards, seeds.

mod analyze;
mod bad_files;
mod bad_numbers;
mod bench;
mod bench_flow;
mod correlate;
mod demo;
mod drive;
mod flow;
mod flow_evaluate;
mod flow_fit;
mod flow_views;
mod ftle;
mod ftle_field;
mod gap;
mod maze;
mod mpc;
mod plans;
mod recurse;
mod stage2;
mod support;
mod verify;
