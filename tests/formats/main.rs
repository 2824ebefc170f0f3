//! Loaders and writers of files: round trips, real PyTorch and numpy files, hostile files,
//! and a bounded run of mutated ones.

mod feature_cache;
mod hostile_arrays;
mod hostile_pickles;
mod mutation;
mod real_files;
mod round_trip;
mod support;

use support::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();
