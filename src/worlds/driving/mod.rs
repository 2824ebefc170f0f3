//! DriveChunk-1: a driving benchmark that anyone can rebuild bit for bit.
