// out[b, r, :] = table[ids[b, r]] + time_table[time_ids[step, b]] + position_table[r]
//
// ids [batch, rows] words; table [table_rows, width]; time_ids at step * time_step_stride +
// b * time_batch_stride; time_table [time_rows, width]; position_table [rows, width]; out addressed by
// offset and strides, columns contiguous. The last two terms are there if their flag is set.
//
// One invocation makes one number; workgroups of 64, in a folded one-dimensional grid; no workgroup
// memory. An id beyond its table reads the last row (the host refuses such ids where it sees them).
//
// Numeric contract: at most two f32 additions, in the order written: the same bits as the twin.
//#import linear_index

struct Params {
    batch: u32,
    rows: u32,
    width: u32,
    out_offset: u32,
    out_batch_stride: u32,
    out_row_stride: u32,
    table_rows: u32,
    time_rows: u32,
    time_step_stride: u32,
    time_batch_stride: u32,
    step: u32,
    flags: u32,
}

const TIME: u32 = 1u;
const POSITION: u32 = 2u;

var<immediate> p: Params;

@group(0) @binding(0) var<storage, read_write> ids: array<u32>;
@group(0) @binding(1) var<storage, read_write> table: array<f32>;
@group(0) @binding(2) var<storage, read_write> time_ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> time_table: array<f32>;
@group(0) @binding(4) var<storage, read_write> position_table: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_index(workgroup, count, local, 64u);
    if index >= p.batch * p.rows * p.width {
        return;
    }
    let column = index % p.width;
    let row = (index / p.width) % p.rows;
    let example = index / (p.width * p.rows);
    let id = min(ids[example * p.rows + row], p.table_rows - 1u);
    var value = table[id * p.width + column];
    if (p.flags & TIME) != 0u {
        let place = p.step * p.time_step_stride + example * p.time_batch_stride;
        let time = min(time_ids[min(place, arrayLength(&time_ids) - 1u)], p.time_rows - 1u);
        value += time_table[time * p.width + column];
    }
    if (p.flags & POSITION) != 0u {
        value += position_table[row * p.width + column];
    }
    out[p.out_offset + example * p.out_batch_stride + row * p.out_row_stride + column] = value;
}
