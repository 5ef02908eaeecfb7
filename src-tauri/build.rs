//! Lets tauri read its configuration and embed `ui/`.

fn main() {
    tauri_build::build();
}
