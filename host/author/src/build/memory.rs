//! Memory for the arguments of a component's functions, in a module made by Go.
//!
//! The host calls `cabi_realloc` before each call that passes a text or a list. Meanwhile a component may not call what it
//! imports (canonical ABI, `may_leave`), and it traps if it does. An allocator written in Go may do so at any time, as its
//! runtime looks at the clock when it collects garbage or takes memory. So the module gets a function of its own.
//!
//! Go's runtime assumes that it alone grows the memory: what others add is given out again. The function therefore takes
//! memory as the runtime does, by moving the runtime's own marks. Before the runtime has set these, and for messages of
//! ordinary size, it takes from a fixed space. Nothing is given back: an instance ends with its message.

use anyhow::{Context as _, anyhow};
use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, ExportKind, ExportSection, Function, FunctionSection, GlobalSection, GlobalType,
    ImportSection, MemArg, Module, TypeSection, ValType,
};
use wasmparser::{
    CodeSectionReader, DataKind, ExportSectionReader, FunctionSectionReader, GlobalSectionReader, ImportSectionReader,
    Operator, Parser, Payload, TypeRef, TypeSectionReader,
};

/// The name that the canonical ABI has for it.
const NAME: &str = "cabi_realloc";
/// What stands before the addresses in `component.go`.
const MARK: &[u8; 16] = b"sesame\0memory\0\x01\xff";
/// A page of WebAssembly, as a power of two.
const PAGE: i32 = 16;

/// The module with a `cabi_realloc`.
pub(super) fn with_allocator(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    let places = Places::find(module)?.context("its package sesame is not of this version of Sesame")?;
    let mut made = Module::new();
    let mut addition = Addition { places, ..Addition::default() };
    let done = addition.parse_core_module(&mut made, Parser::new(0), module);
    done.map_err(|error| anyhow!("{error}")).context("cannot read the module")?;
    Ok(made.finish())
}

/// The addresses that the helper in Go names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Places {
    /// Where the runtime takes its next memory.
    end: u32,
    /// Up to where it has memory.
    limit: u32,
    /// The fixed space and its size, bytes.
    space: u32,
    size: u32,
}

impl Places {
    /// Finds them in the module's data, of which Go leaves out long runs of zeros.
    fn find(module: &[u8]) -> anyhow::Result<Option<Self>> {
        let mut segments: Vec<(usize, &[u8])> = Vec::new();
        for payload in Parser::new(0).parse_all(module) {
            let Payload::DataSection(section) = payload? else { continue };
            for data in section {
                let data = data?;
                let DataKind::Active { offset_expr, .. } = data.kind else { continue };
                if let Operator::I32Const { value } = offset_expr.get_operators_reader().read()? {
                    segments.push((usize::try_from(value.cast_unsigned())?, data.data));
                }
            }
        }
        let marked = segments.iter().find_map(|(start, bytes)| {
            let at = bytes.windows(MARK.len()).position(|bytes| bytes == MARK)?;
            Some(start + at + MARK.len())
        });
        let Some(first) = marked else { return Ok(None) };
        let byte = |address: usize| {
            let held = segments.iter().find_map(|(start, bytes)| bytes.get(address.checked_sub(*start)?));
            held.copied().unwrap_or_default()
        };
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|digit| byte(first + 8 * at + digit)));
        let places = Self { end: word(0), limit: word(1), space: word(2), size: word(3) };
        Ok(Some(places).filter(|places| places.end != 0 && places.limit != 0 && places.space != 0))
    }
}

/// Where the additions are in the module.
#[derive(Default)]
struct Addition {
    places: Places,
    kind: u32,
    imported_functions: u32,
    imported_globals: u32,
    function: u32,
    /// The globals of the first free address, and of the end of what was taken.
    next: u32,
    end: u32,
}

impl Reencode for Addition {
    type Error = std::convert::Infallible;

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: TypeSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        for group in section.clone() {
            self.kind += u32::try_from(group?.types().len()).unwrap_or_default();
        }
        utils::parse_type_section(self, types, section)?;
        types.ty().function([ValType::I32; 4], [ValType::I32]);
        Ok(())
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: ImportSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        for import in section.clone().into_imports() {
            match import?.ty {
                TypeRef::Func(_) | TypeRef::FuncExact(_) => self.imported_functions += 1,
                TypeRef::Global(_) => self.imported_globals += 1,
                _ => {}
            }
        }
        utils::parse_import_section(self, imports, section)
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        utils::parse_function_section(self, functions, section)?;
        self.function = self.imported_functions + functions.len();
        functions.function(self.kind);
        Ok(())
    }

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: GlobalSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        utils::parse_global_section(self, globals, section)?;
        let address = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        let first = self.imported_globals + globals.len();
        (self.next, self.end) = (first, first + 1);
        for value in [self.places.space, self.places.space.saturating_add(self.places.size)] {
            globals.global(address, &ConstExpr::i32_const(value.cast_signed()));
        }
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: ExportSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        utils::parse_export_section(self, exports, section)?;
        exports.export(NAME, ExportKind::Func, self.function);
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        utils::parse_code_section(self, code, section)?;
        code.function(&allocator(self.places, self.next, self.end));
        Ok(())
    }
}

/// `cabi_realloc(old, old size, alignment, size)`, with the globals of the first free address and of the end.
fn allocator(places: Places, next: u32, end: u32) -> Function {
    const OLD: u32 = 0;
    const OLD_SIZE: u32 = 1;
    const ALIGNMENT: u32 = 2;
    const SIZE: u32 = 3;
    const AT: u32 = 4;
    const TAKEN: u32 = 5;
    let mut function = Function::new([(2, ValType::I32)]);
    let mut code = function.instructions();
    // Go's addresses have eight bytes, of which the upper four are 0 in a memory of 32 bits.
    let word = MemArg { offset: 0, align: 2, memory_index: 0 };
    let mark = |address: u32| address.cast_signed();
    // at = (next + alignment - 1) & -alignment
    code.global_get(next).local_get(ALIGNMENT).i32_add().i32_const(1).i32_sub();
    code.i32_const(0).local_get(ALIGNMENT).i32_sub().i32_and().local_set(AT);
    code.local_get(AT).local_get(SIZE).i32_add().global_get(end).i32_gt_u().if_(BlockType::Empty);
    // The space is used up: at = the runtime's end, which is 0 before it has begun, and then there is no more.
    code.i32_const(mark(places.end)).i32_load(word).local_tee(AT).i32_eqz().if_(BlockType::Empty).unreachable().end();
    // end = at + size in whole pages; the memory grows by as much as the runtime does not have yet
    code.local_get(SIZE).i32_const(PAGE).i32_shr_u().i32_const(1).i32_add().i32_const(PAGE).i32_shl();
    code.local_get(AT).i32_add().local_tee(TAKEN).global_set(end);
    code.local_get(TAKEN).i32_const(mark(places.limit)).i32_load(word).i32_gt_u().if_(BlockType::Empty);
    code.local_get(TAKEN).i32_const(mark(places.limit)).i32_load(word).i32_sub().i32_const(PAGE).i32_shr_u();
    code.memory_grow(0).i32_const(-1).i32_eq().if_(BlockType::Empty).unreachable().end();
    code.i32_const(mark(places.limit)).local_get(TAKEN).i32_store(word).end();
    code.i32_const(mark(places.end)).local_get(TAKEN).i32_store(word).end();
    code.local_get(AT).local_get(SIZE).i32_add().global_set(next);
    // What was there goes on there.
    code.local_get(OLD).if_(BlockType::Empty);
    code.local_get(AT).local_get(OLD).local_get(OLD_SIZE).memory_copy(0, 0).end();
    code.local_get(AT).end();
    function
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{DataSection, EntityType, MemorySection, MemoryType};

    use super::*;

    /// A module with functions, globals, a memory of one page, and these data at address 1,000.
    fn module(data: &[u8]) -> Vec<u8> {
        let mut module = Module::new();
        let mut types = TypeSection::new();
        types.ty().function([], []);
        let mut imports = ImportSection::new();
        imports.import("system", "call", EntityType::Function(0));
        let mut functions = FunctionSection::new();
        functions.function(0);
        let mut memories = MemorySection::new();
        let memory = MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None };
        memories.memory(memory);
        let mut globals = GlobalSection::new();
        let constant = GlobalType { val_type: ValType::I32, mutable: false, shared: false };
        globals.global(constant, &ConstExpr::i32_const(7));
        let mut exports = ExportSection::new();
        exports.export("memory", ExportKind::Memory, 0);
        let mut code = CodeSection::new();
        let mut nothing = Function::new([]);
        nothing.instructions().end();
        code.function(&nothing);
        let mut section = DataSection::new();
        section.active(0, &ConstExpr::i32_const(1000), data.iter().copied());
        module.section(&types).section(&imports).section(&functions).section(&memories).section(&globals);
        module.section(&exports).section(&code).section(&section);
        module.finish()
    }

    #[test]
    fn the_module_stays_valid_and_exports_an_allocator() {
        let mut data = b"before".to_vec();
        data.extend(MARK);
        [8_u64, 16, 4096, 1 << 12].iter().for_each(|word| data.extend(word.to_le_bytes()));
        let given = module(&data);
        let places = Places { end: 8, limit: 16, space: 4096, size: 4096 };
        assert_eq!(Places::find(&given).unwrap(), Some(places));
        let made = with_allocator(&given).unwrap();
        let mut names = Vec::new();
        for payload in Parser::new(0).parse_all(&made) {
            if let Payload::ExportSection(section) = payload.unwrap() {
                names.extend(section.into_iter().map(|export| export.unwrap().name.to_owned()));
            }
        }
        assert_eq!(names, ["memory", NAME]);
    }

    #[test]
    fn a_module_without_the_helper_is_refused() {
        for data in [&b"nothing"[..], MARK] {
            let error = format!("{:#}", with_allocator(&module(data)).unwrap_err());
            assert!(error.contains("is not of this version of Sesame"), "{error}");
        }
        assert!(with_allocator(b"nothing").is_err());
    }
}
