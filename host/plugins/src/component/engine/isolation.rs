//! What an instance finds of the one that had its place in the pool before: nothing.

use wasm_encoder::{
    BlockType, CodeSection, Component, ConstExpr, DataSection, ElementSection, Elements, Function, FunctionSection,
    GlobalSection, GlobalType, InstanceSection, Instruction as I, MemArg, MemorySection, MemoryType, Module, ModuleArg,
    ModuleSection, RefType, StartSection, TableSection, TableType, TypeSection, ValType,
};
use wasmtime::component::Linker;
use wasmtime::{Engine, Store};

use super::{KEPT_MEMORY, engine, pooled};

const PAGE: i32 = 64 << 10;
/// Where the data of the component is, in pages, and one word of it.
const DATA: [i32; 2] = [1, 2];
const WORD: i64 = 0x1111_1111_1111_1111;
/// Entries of the table.
const ENTRIES: u64 = 20_000;

/// A component whose one instance traps unless memory, table and global are as they begin; then it writes to all of them.
/// It has `pages` of memory, expects its data to be `word`, and grows by `more`.
fn spoiler(pages: i32, more: i32, word: i64) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    types.ty().function([ValType::I32, ValType::I32, ValType::I64], []);
    let mut functions = FunctionSection::new();
    functions.function(0).function(1);
    let mut tables = TableSection::new();
    let element_type = RefType::FUNCREF;
    tables.table(TableType { element_type, table64: false, minimum: ENTRIES, maximum: None, shared: false });
    let mut memories = MemorySection::new();
    let minimum = u64::try_from(pages).unwrap();
    memories.memory(MemoryType { minimum, maximum: None, memory64: false, shared: false, page_size_log2: None });
    let mut globals = GlobalSection::new();
    globals.global(GlobalType { val_type: ValType::I32, mutable: true, shared: false }, &ConstExpr::i32_const(5));
    let mut elements = ElementSection::new();
    elements.declared(Elements::Functions((&[0]).into()));
    let mut data = DataSection::new();
    data.active(0, &ConstExpr::i32_const(DATA[0] * PAGE), vec![0x11; PAGE as usize]);
    let mut code = CodeSection::new();
    code.function(&spoil(pages, more, word)).function(&check());
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&tables).section(&memories).section(&globals);
    module.section(&StartSection { function_index: 0 }).section(&elements).section(&code).section(&data);
    let mut instances = InstanceSection::new();
    instances.instantiate(0, std::iter::empty::<(&str, ModuleArg)>());
    let mut component = Component::new();
    component.section(&ModuleSection(&module)).section(&instances);
    component.finish()
}

fn spoil(pages: i32, more: i32, word: i64) -> Function {
    let mut body = Function::new([]);
    let mut area = |from: i32, to: i32, word: i64| {
        body.instruction(&I::I32Const(from * PAGE)).instruction(&I::I32Const(to * PAGE));
        body.instruction(&I::I64Const(word)).instruction(&I::Call(1));
    };
    area(0, DATA[0], 0);
    area(DATA[0], DATA[1], word);
    area(DATA[1], pages, 0);
    body.instruction(&I::I32Const(more)).instruction(&I::MemoryGrow(0)).instruction(&I::Drop);
    body.instruction(&I::I32Const(pages * PAGE)).instruction(&I::I32Const((pages + more) * PAGE));
    body.instruction(&I::I64Const(0)).instruction(&I::Call(1));
    body.instruction(&I::I32Const(0)).instruction(&I::I32Const(0xaa));
    body.instruction(&I::I32Const((pages + more) * PAGE)).instruction(&I::MemoryFill(0));
    for entry in [0, 1000, ENTRIES as i32 - 1] {
        body.instruction(&I::I32Const(entry)).instruction(&I::TableGet(0)).instruction(&I::RefIsNull);
        body.instruction(&I::I32Eqz).instruction(&I::If(BlockType::Empty)).instruction(&I::Unreachable);
        body.instruction(&I::End);
        body.instruction(&I::I32Const(entry)).instruction(&I::RefFunc(0)).instruction(&I::TableSet(0));
    }
    body.instruction(&I::GlobalGet(0)).instruction(&I::I32Const(5)).instruction(&I::I32Ne);
    body.instruction(&I::If(BlockType::Empty)).instruction(&I::Unreachable).instruction(&I::End);
    body.instruction(&I::I32Const(9)).instruction(&I::GlobalSet(0)).instruction(&I::End);
    body
}

/// Traps unless each word of an area is the one expected.
fn check() -> Function {
    let mut body = Function::new([]);
    let word = MemArg { offset: 0, align: 3, memory_index: 0 };
    body.instruction(&I::Loop(BlockType::Empty));
    body.instruction(&I::LocalGet(0)).instruction(&I::LocalGet(1)).instruction(&I::I32LtU);
    body.instruction(&I::If(BlockType::Empty));
    body.instruction(&I::LocalGet(0)).instruction(&I::I64Load(word)).instruction(&I::LocalGet(2));
    body.instruction(&I::I64Ne).instruction(&I::If(BlockType::Empty)).instruction(&I::Unreachable).instruction(&I::End);
    body.instruction(&I::LocalGet(0)).instruction(&I::I32Const(8)).instruction(&I::I32Add).instruction(&I::LocalSet(0));
    body.instruction(&I::Br(1)).instruction(&I::End).instruction(&I::End).instruction(&I::End);
    body
}

fn instantiate(engine: &Engine, component: &wasmtime::component::Component) -> wasmtime::Result<()> {
    let mut store = Store::new(engine, ());
    store.set_epoch_deadline(1_000_000);
    Linker::new(engine).instantiate(&mut store, component).map(drop)
}

#[test]
fn an_instance_finds_nothing_of_the_one_before() {
    let kept = i32::try_from(KEPT_MEMORY).unwrap() / PAGE;
    for engine in [pooled().unwrap(), engine().unwrap()] {
        // Smaller than what is overwritten, as large, and far beyond; two components take turns in the same places.
        for pages in [3, kept, kept + 40] {
            let load = |more| wasmtime::component::Component::new(&engine, spoiler(pages, more, WORD)).unwrap();
            let (one, other) = (load(5), load(100));
            for _ in 0..5 {
                instantiate(&engine, &one).unwrap();
                instantiate(&engine, &other).unwrap();
            }
        }
        let looks = wasmtime::component::Component::new(&engine, spoiler(3, 5, WORD + 1)).unwrap();
        assert!(instantiate(&engine, &looks).is_err(), "it does not look");
    }
}
