use attractor::device::Device;
fn main() {
    let d = match std::env::args().nth(2).as_deref() {
        Some("f64") => Device::cpu_f64(),
        Some("gpu") => Device::wgpu("").unwrap(),
        _ => Device::cpu(),
    };
    match attractor::verify::run(std::path::Path::new(&std::env::args().nth(1).unwrap()), &d) {
        Ok(r) => {
            for l in r.lines() {
                println!("{l}")
            }
            if std::env::args().nth(3).is_some() {
                println!("{}", serde_json::to_string_pretty(&r).unwrap())
            }
            std::process::exit(i32::from(!r.good()))
        }
        Err(e) => {
            println!("{e}");
            std::process::exit(2)
        }
    }
}
