//! Writing without a trace.

use std::any::Any;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Sink, Write};
use std::path::Path;

use super::layer::{Disk, Kind, Layer, Output};

/// The file system as it is: all changes succeed, and none is made. What would be written is computed all the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct DryRun;

impl Layer for DryRun {
    fn look(&self, path: &Path) -> io::Result<Option<Kind>> {
        Disk.look(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        Disk.list(folder)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Any + Send>>> {
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        fs::metadata(folder)?;
        Ok(Some(Box::new(())))
    }

    fn create(&self, _path: &Path, _mode: Option<u32>) -> io::Result<Box<dyn Output>> {
        Ok(Box::new(Nowhere(io::sink())))
    }

    fn create_folder(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove_folder(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// A file that keeps nothing.
struct Nowhere(Sink);

impl Write for Nowhere {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Output for Nowhere {
    fn set_mode(&self, _mode: u32) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::{Options, StoreError, Writer};

    #[test]
    fn nothing_is_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net_graph.mindir");
        fs::write(&path, "old").unwrap();
        let options = Options { layer: Arc::new(DryRun), ..Options::default() };
        let mut writer = Writer::begin(&path, &options).unwrap();
        writer.write_all(b"new").unwrap();
        assert_eq!(writer.add("net_variables/data_", |out| out.write_all(b"data")).unwrap(), "net_variables/data_0");
        writer.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let gone = Writer::begin(folder.path().join("none/x"), &options);
        assert!(matches!(gone, Err(StoreError::Io { .. })));
    }
}
