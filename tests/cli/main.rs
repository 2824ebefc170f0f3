//! The built program from the outside: exit codes, one-line errors, formats, shards, seeds.

mod bad_files;
mod bad_numbers;
mod bench;
mod bench_flow;
mod demo;
mod drive;
mod flow;
mod flow_evaluate;
mod flow_fit;
mod flow_views;
mod plans;
mod support;
mod verify;
