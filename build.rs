//! Tells the tests at compile time whether a GPU adapter (`cfg(gpu_adapter)`) and a browser with its driver
//! (`cfg(browser)`) can be expected, so that tests which need one are reported as ignored, never as passed,
//! where there is none.

use std::path::Path;

/// Folders in which Vulkan loaders look for drivers.
const DRIVER_FOLDERS: &[&str] = &[
    "/usr/share/vulkan/icd.d",
    "/usr/local/share/vulkan/icd.d",
    "/etc/vulkan/icd.d",
];

/// Programs that the browser tests start.
const BROWSER_PROGRAMS: [&str; 2] = ["chromium", "chromedriver"];

fn main() {
    look_for_drivers();
    look_for_browser();
}

fn look_for_drivers() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=VK_DRIVER_FILES");
    println!("cargo:rerun-if-env-changed=VK_ICD_FILENAMES");
    for folder in DRIVER_FOLDERS.iter().filter(|f| Path::new(f).is_dir()) {
        println!("cargo:rerun-if-changed={folder}");
    }
    let named = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    let installed = DRIVER_FOLDERS
        .iter()
        .any(|folder| std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()));
    let system = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if named || installed || system == "macos" || system == "windows" {
        println!("cargo:rustc-cfg=gpu_adapter");
    }
}

fn look_for_browser() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let found = BROWSER_PROGRAMS.map(|program| {
        let mut places = folders.iter().map(|folder| folder.join(program));
        places.find(|place| place.is_file())
    });
    for place in found.iter().flatten() {
        println!("cargo:rerun-if-changed={}", place.display());
    }
    if found.iter().all(Option::is_some) {
        println!("cargo:rustc-cfg=browser");
    }
}
