/// Shared WGSL sources, by import name.
const COMMON: &[(&str, &str)] = &[
    (
        "activation_slopes",
        include_str!("../../shaders/common/activation_slopes.wgsl"),
    ),
    (
        "activations",
        include_str!("../../shaders/common/activations.wgsl"),
    ),
    (
        "classical_maps",
        include_str!("../../shaders/common/classical_maps.wgsl"),
    ),
    ("clock", include_str!("../../shaders/common/clock.wgsl")),
    (
        "combination",
        include_str!("../../shaders/common/combination.wgsl"),
    ),
    (
        "control_tasks",
        include_str!("../../shaders/common/control_tasks.wgsl"),
    ),
    (
        "dual_numbers",
        include_str!("../../shaders/common/dual_numbers.wgsl"),
    ),
    (
        "elementary",
        include_str!("../../shaders/common/elementary.wgsl"),
    ),
    (
        "fixed_point",
        include_str!("../../shaders/common/fixed_point.wgsl"),
    ),
    ("floats", include_str!("../../shaders/common/floats.wgsl")),
    (
        "layer_statistics",
        include_str!("../../shaders/common/layer_statistics.wgsl"),
    ),
    (
        "linear_index",
        include_str!("../../shaders/common/linear_index.wgsl"),
    ),
    (
        "flow_time",
        include_str!("../../shaders/common/flow_time.wgsl"),
    ),
    (
        "multiply_wide",
        include_str!("../../shaders/common/multiply_wide.wgsl"),
    ),
    (
        "ode_fields",
        include_str!("../../shaders/common/ode_fields.wgsl"),
    ),
    (
        "ode_jacobians",
        include_str!("../../shaders/common/ode_jacobians.wgsl"),
    ),
    (
        "ode_methods",
        include_str!("../../shaders/common/ode_methods.wgsl"),
    ),
    ("normals", include_str!("../../shaders/common/normals.wgsl")),
    (
        "orthonormal_columns",
        include_str!("../../shaders/common/orthonormal_columns.wgsl"),
    ),
    ("philox", include_str!("../../shaders/common/philox.wgsl")),
    (
        "plain_numbers",
        include_str!("../../shaders/common/plain_numbers.wgsl"),
    ),
    (
        "qr_outputs",
        include_str!("../../shaders/common/qr_outputs.wgsl"),
    ),
    (
        "reduction_shape",
        include_str!("../../shaders/common/reduction_shape.wgsl"),
    ),
    (
        "rms_statistics",
        include_str!("../../shaders/common/rms_statistics.wgsl"),
    ),
    (
        "row_norm",
        include_str!("../../shaders/common/row_norm.wgsl"),
    ),
    (
        "row_norm_tangent",
        include_str!("../../shaders/common/row_norm_tangent.wgsl"),
    ),
    (
        "row_reduce",
        include_str!("../../shaders/common/row_reduce.wgsl"),
    ),
    (
        "strided_copy",
        include_str!("../../shaders/common/strided_copy.wgsl"),
    ),
    (
        "softmax_row",
        include_str!("../../shaders/common/softmax_row.wgsl"),
    ),
    (
        "tangent_memory",
        include_str!("../../shaders/common/tangent_memory.wgsl"),
    ),
    (
        "tangent_stages",
        include_str!("../../shaders/common/tangent_stages.wgsl"),
    ),
    ("two_sum", include_str!("../../shaders/common/two_sum.wgsl")),
];

/// Resolves the `//#import NAME` lines of a shader: each is replaced by `shaders/common/NAME.wgsl`,
/// once, in the order of first mention. An unknown name stays in place as a comment, and the shader
/// then fails validation in the tests.
pub fn compose(source: &str) -> String {
    let mut seen = Vec::new();
    let mut text = String::with_capacity(source.len() * 2);
    append(source, &mut seen, &mut text);
    text
}

fn append(source: &str, seen: &mut Vec<&'static str>, text: &mut String) {
    for line in source.lines() {
        let wanted = line.strip_prefix("//#import ").map(str::trim);
        match wanted.and_then(|name| COMMON.iter().find(|(known, _)| *known == name)) {
            Some((name, body)) => {
                if !seen.contains(name) {
                    seen.push(name);
                    append(body, seen, text);
                }
            }
            None => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
}

/// Workgroup counts for `items` independent invocations in workgroups of `size`: a grid of two
/// dimensions, since one dimension is limited to 65,535 workgroups. The shader finds its item with
/// `linear_index` of `common/linear_index.wgsl`.
pub fn linear_workgroups(items: usize, size: u32) -> [u32; 3] {
    const LIMIT: usize = 65_535;
    let groups = items.div_ceil(size as usize).max(1);
    if groups <= LIMIT {
        return [groups as u32, 1, 1];
    }
    let rows = groups.div_ceil(LIMIT);
    let columns = groups.div_ceil(rows);
    [columns as u32, rows.min(u32::MAX as usize) as u32, 1]
}
