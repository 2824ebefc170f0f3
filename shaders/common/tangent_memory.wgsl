// Memory of a trajectory: parameters, state and tangents by the strides of `p`, sums and records of a row of
// all trajectories each. Numbers that a system does not have read as zero.
fn load_parameters(system: u32, index: u32) -> vec4<f32> {
    let each = (p.flags & EACH) != 0u;
    let stride = select(1u, p.trajectories, each);
    let first = select(0u, index, each);
    let count = parameters_of(system);
    var q = vec4<f32>(0.0);
    if count > 0u {
        q.x = parameters[first];
    }
    if count > 1u {
        q.y = parameters[first + stride];
    }
    if count > 2u {
        q.z = parameters[first + 2u * stride];
    }
    return q;
}

fn load_state(system: u32, base: u32) -> vec4<f32> {
    let n = size_of(system);
    var x = vec4<f32>(state[base], 0.0, 0.0, 0.0);
    if n > 1u {
        x.y = state[base + p.component_stride];
    }
    if n > 2u {
        x.z = state[base + 2u * p.component_stride];
    }
    if n > 3u {
        x.w = state[base + 3u * p.component_stride];
    }
    return x;
}

fn store_state(system: u32, base: u32, x: vec4<f32>) {
    let n = size_of(system);
    state[base] = x.x;
    if n > 1u {
        state[base + p.component_stride] = x.y;
    }
    if n > 2u {
        state[base + 2u * p.component_stride] = x.z;
    }
    if n > 3u {
        state[base + 3u * p.component_stride] = x.w;
    }
}

fn record_state(system: u32, record: u32, index: u32, x: vec4<f32>) {
    let n = size_of(system);
    let base = record * n * p.trajectories + index;
    state_history[base] = x.x;
    if n > 1u {
        state_history[base + p.trajectories] = x.y;
    }
    if n > 2u {
        state_history[base + 2u * p.trajectories] = x.z;
    }
    if n > 3u {
        state_history[base + 3u * p.trajectories] = x.w;
    }
}

fn load_tangent(system: u32, base: u32) -> vec4<f32> {
    let n = size_of(system);
    var x = vec4<f32>(tangent[base], 0.0, 0.0, 0.0);
    if n > 1u {
        x.y = tangent[base + p.component_stride];
    }
    if n > 2u {
        x.z = tangent[base + 2u * p.component_stride];
    }
    if n > 3u {
        x.w = tangent[base + 3u * p.component_stride];
    }
    return x;
}

fn store_tangent(system: u32, base: u32, x: vec4<f32>) {
    let n = size_of(system);
    tangent[base] = x.x;
    if n > 1u {
        tangent[base + p.component_stride] = x.y;
    }
    if n > 2u {
        tangent[base + 2u * p.component_stride] = x.z;
    }
    if n > 3u {
        tangent[base + 3u * p.component_stride] = x.w;
    }
}

fn load_basis(system: u32, base: u32) -> Basis {
    let zero = vec4<f32>(0.0);
    var w = Basis(zero, zero, zero, zero);
    if p.tangents > 0u {
        w.a = load_tangent(system, base);
    }
    if p.tangents > 1u {
        w.b = load_tangent(system, base + p.tangent_stride);
    }
    if p.tangents > 2u {
        w.c = load_tangent(system, base + 2u * p.tangent_stride);
    }
    if p.tangents > 3u {
        w.d = load_tangent(system, base + 3u * p.tangent_stride);
    }
    return w;
}

fn store_basis(system: u32, base: u32, w: Basis) {
    if p.tangents > 0u {
        store_tangent(system, base, w.a);
    }
    if p.tangents > 1u {
        store_tangent(system, base + p.tangent_stride, w.b);
    }
    if p.tangents > 2u {
        store_tangent(system, base + 2u * p.tangent_stride, w.c);
    }
    if p.tangents > 3u {
        store_tangent(system, base + 3u * p.tangent_stride, w.d);
    }
}

fn load_sums(row: u32, index: u32) -> vec4<f32> {
    let n = p.trajectories;
    let base = row * p.tangents * n + index;
    var found = vec4<f32>(sums[base], 0.0, 0.0, 0.0);
    if p.tangents > 1u {
        found.y = sums[base + n];
    }
    if p.tangents > 2u {
        found.z = sums[base + 2u * n];
    }
    if p.tangents > 3u {
        found.w = sums[base + 3u * n];
    }
    return found;
}

fn store_sums(row: u32, index: u32, values: vec4<f32>) {
    let n = p.trajectories;
    let base = row * p.tangents * n + index;
    sums[base] = values.x;
    if p.tangents > 1u {
        sums[base + n] = values.y;
    }
    if p.tangents > 2u {
        sums[base + 2u * n] = values.z;
    }
    if p.tangents > 3u {
        sums[base + 3u * n] = values.w;
    }
}

fn record_logs(record: u32, index: u32, values: vec4<f32>) {
    let n = p.trajectories;
    let base = record * p.tangents * n + index;
    log_history[base] = values.x;
    if p.tangents > 1u {
        log_history[base + n] = values.y;
    }
    if p.tangents > 2u {
        log_history[base + 2u * n] = values.z;
    }
    if p.tangents > 3u {
        log_history[base + 3u * n] = values.w;
    }
}
