//! The file system: one empty, read-only directory, `/`.

use wasmtime::component::Resource;

use super::bindings::wasi::filesystem::preopens;
use super::bindings::wasi::filesystem::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode, MetadataHashValue,
    NewTimestamp, OpenFlags, PathFlags,
};
use super::bindings::wasi::io::error::Error;
use super::streams::{Input, Output};
use crate::instance::state::HostState;

type Answer<T> = wasmtime::Result<Result<T, ErrorCode>>;

/// The empty directory.
#[derive(Debug)]
pub struct Directory;

/// Its entries: none.
#[derive(Debug)]
pub struct NoEntries;

/// Whether a path names the directory itself; no other path exists.
fn is_root(path: &str) -> bool {
    path.split('/').all(|step| step.is_empty() || step == ".")
}

fn look_up(path: &str) -> Result<(), ErrorCode> {
    if is_root(path) { Ok(()) } else { Err(ErrorCode::NoEntry) }
}

/// The error for a change of something that exists, which can only be the directory itself.
fn change<T>(path: &str) -> Answer<T> {
    Ok(Err(look_up(path).err().unwrap_or(ErrorCode::ReadOnly)))
}

impl HostState {
    fn stat_of_root(&self) -> DescriptorStat {
        let time = Some(super::instant(self.wasi.facts.received_at));
        DescriptorStat {
            type_: DescriptorType::Directory,
            link_count: 1,
            size: 0,
            data_access_timestamp: time,
            data_modification_timestamp: time,
            status_change_timestamp: time,
        }
    }
}

impl preopens::Host for HostState {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Directory>, String)>> {
        Ok(vec![(self.wasi.push(Directory)?, "/".to_owned())])
    }
}

impl types::Host for HostState {
    fn filesystem_error_code(&mut self, error: Resource<Error>) -> wasmtime::Result<Option<ErrorCode>> {
        match *self.wasi.table.get(&error)? {}
    }
}

impl types::HostDirectoryEntryStream for HostState {
    fn read_directory_entry(&mut self, _: Resource<NoEntries>) -> Answer<Option<DirectoryEntry>> {
        Ok(Ok(None))
    }

    fn drop(&mut self, entries: Resource<NoEntries>) -> wasmtime::Result<()> {
        self.wasi.table.delete(entries)?;
        Ok(())
    }
}

impl types::HostDescriptor for HostState {
    fn read_via_stream(&mut self, _: Resource<Directory>, _: u64) -> Answer<Resource<Input>> {
        Ok(Err(ErrorCode::IsDirectory))
    }

    fn write_via_stream(&mut self, _: Resource<Directory>, _: u64) -> Answer<Resource<Output>> {
        Ok(Err(ErrorCode::IsDirectory))
    }

    fn append_via_stream(&mut self, _: Resource<Directory>) -> Answer<Resource<Output>> {
        Ok(Err(ErrorCode::IsDirectory))
    }

    fn advise(&mut self, _: Resource<Directory>, _: u64, _: u64, _: Advice) -> Answer<()> {
        Ok(Err(ErrorCode::IsDirectory))
    }

    fn sync_data(&mut self, _: Resource<Directory>) -> Answer<()> {
        Ok(Ok(()))
    }

    fn get_flags(&mut self, _: Resource<Directory>) -> Answer<DescriptorFlags> {
        Ok(Ok(DescriptorFlags::READ))
    }

    fn get_type(&mut self, _: Resource<Directory>) -> Answer<DescriptorType> {
        Ok(Ok(DescriptorType::Directory))
    }

    fn set_size(&mut self, _: Resource<Directory>, _: u64) -> Answer<()> {
        Ok(Err(ErrorCode::IsDirectory))
    }

    fn set_times(&mut self, _: Resource<Directory>, _: NewTimestamp, _: NewTimestamp) -> Answer<()> {
        Ok(Err(ErrorCode::ReadOnly))
    }

    fn read(&mut self, _: Resource<Directory>, _: u64, _: u64) -> Answer<(Vec<u8>, bool)> {
        Ok(Err(ErrorCode::IsDirectory))
    }

    fn write(&mut self, _: Resource<Directory>, _: Vec<u8>, _: u64) -> Answer<u64> {
        Ok(Err(ErrorCode::IsDirectory))
    }

    fn read_directory(&mut self, _: Resource<Directory>) -> Answer<Resource<NoEntries>> {
        Ok(Ok(self.wasi.push(NoEntries)?))
    }

    fn sync(&mut self, _: Resource<Directory>) -> Answer<()> {
        Ok(Ok(()))
    }

    fn create_directory_at(&mut self, _: Resource<Directory>, path: String) -> Answer<()> {
        Ok(Err(if is_root(&path) { ErrorCode::Exist } else { ErrorCode::ReadOnly }))
    }

    fn stat(&mut self, _: Resource<Directory>) -> Answer<DescriptorStat> {
        Ok(Ok(self.stat_of_root()))
    }

    fn stat_at(&mut self, _: Resource<Directory>, _: PathFlags, path: String) -> Answer<DescriptorStat> {
        Ok(look_up(&path).map(|()| self.stat_of_root()))
    }

    fn set_times_at(
        &mut self,
        _: Resource<Directory>,
        _: PathFlags,
        path: String,
        _: NewTimestamp,
        _: NewTimestamp,
    ) -> Answer<()> {
        change(&path)
    }

    fn link_at(
        &mut self,
        _: Resource<Directory>,
        _: PathFlags,
        path: String,
        _: Resource<Directory>,
        _: String,
    ) -> Answer<()> {
        change(&path)
    }

    fn open_at(
        &mut self,
        _: Resource<Directory>,
        _: PathFlags,
        path: String,
        how: OpenFlags,
        access: DescriptorFlags,
    ) -> Answer<Resource<Directory>> {
        let writes = access.contains(DescriptorFlags::WRITE) || how.contains(OpenFlags::TRUNCATE);
        Ok(match look_up(&path) {
            Ok(()) if writes => Err(ErrorCode::IsDirectory),
            Ok(()) if how.contains(OpenFlags::EXCLUSIVE) => Err(ErrorCode::Exist),
            Ok(()) => Ok(self.wasi.push(Directory)?),
            Err(_) if how.contains(OpenFlags::CREATE) => Err(ErrorCode::ReadOnly),
            Err(absent) => Err(absent),
        })
    }

    fn readlink_at(&mut self, _: Resource<Directory>, path: String) -> Answer<String> {
        Ok(Err(look_up(&path).err().unwrap_or(ErrorCode::Invalid)))
    }

    fn remove_directory_at(&mut self, _: Resource<Directory>, path: String) -> Answer<()> {
        change(&path)
    }

    fn rename_at(&mut self, _: Resource<Directory>, path: String, _: Resource<Directory>, _: String) -> Answer<()> {
        change(&path)
    }

    fn symlink_at(&mut self, _: Resource<Directory>, _: String, _: String) -> Answer<()> {
        Ok(Err(ErrorCode::ReadOnly))
    }

    fn unlink_file_at(&mut self, _: Resource<Directory>, path: String) -> Answer<()> {
        change(&path)
    }

    fn is_same_object(&mut self, _: Resource<Directory>, _: Resource<Directory>) -> wasmtime::Result<bool> {
        Ok(true)
    }

    fn metadata_hash(&mut self, _: Resource<Directory>) -> Answer<MetadataHashValue> {
        Ok(Ok(MetadataHashValue { lower: 1, upper: 0 }))
    }

    fn metadata_hash_at(&mut self, _: Resource<Directory>, _: PathFlags, path: String) -> Answer<MetadataHashValue> {
        Ok(look_up(&path).map(|()| MetadataHashValue { lower: 1, upper: 0 }))
    }

    fn drop(&mut self, directory: Resource<Directory>) -> wasmtime::Result<()> {
        self.wasi.table.delete(directory)?;
        Ok(())
    }
}
