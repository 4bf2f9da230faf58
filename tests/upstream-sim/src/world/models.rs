//! Models and the upstream interfaces behind them.

use serde::Serialize;

use super::World;
use super::ids::Kind;
use super::pricing::{Goods, goods_of, sold};

/// A row of `llmage`, with the columns of `llmage_cache`.
#[derive(Debug, Serialize)]
pub struct ModelRow {
    id: String,
    llmid: String,
    name: String,
    model: String,
    providerid: String,
    ownerid: &'static str,
    upappid: String,
    llmcatelogid: &'static str,
    catelogname: &'static str,
    apiname: &'static str,
    ppid: Option<String>,
    isdefaultcatelog: &'static str,
    min_balance: &'static str,
    status: &'static str,
    enabled_date: &'static str,
    expired_date: &'static str,
}

/// A row of `uapi`, with the columns of `uapi_cache`.
#[derive(Debug, Serialize)]
pub struct UapiRow {
    id: String,
    upappid: String,
    upappname: String,
    baseurl: String,
    name: String,
    path: &'static str,
    httpmethod: &'static str,
    stream: &'static str,
    need_auth: &'static str,
    ioid: String,
    input_fields: String,
}

/// Interfaces of one upstream application.
const APIS_PER_APP: u64 = 5;
/// A program's price list names at most so many models, however many use it.
const MODELS_PER_LIST: u64 = 8;

struct Category {
    id: &'static str,
    name: &'static str,
    family: &'static str,
    api: &'static str,
    path: &'static str,
    field: &'static str,
}

const TEXT: Category = Category {
    id: "t2t",
    name: "文本生成",
    family: "aurora-chat",
    api: "chat",
    path: "/v1/chat/completions",
    field: "messages",
};
const IMAGE: Category = Category {
    id: "t2i",
    name: "图像生成",
    family: "lotus-image",
    api: "images",
    path: "/v1/images/generations",
    field: "prompt",
};
const SPEECH: Category = Category {
    id: "tts",
    name: "语音合成",
    family: "river-voice",
    api: "speech",
    path: "/v1/audio/speech",
    field: "input",
};
const VIDEO: Category = Category {
    id: "t2v",
    name: "视频生成",
    family: "cloud-video",
    api: "videos",
    path: "/v1/video/generations",
    field: "prompt",
};

const fn category(goods: Goods) -> &'static Category {
    match goods {
        Goods::Text | Goods::TextByModel => &TEXT,
        Goods::Image => &IMAGE,
        Goods::Speech => &SPEECH,
        Goods::Video => &VIDEO,
    }
}

pub(super) fn provider(number: u64) -> String {
    format!("provider_demo_{:04}", number % 7 + 1)
}

/// Every eighth row is a second interface of the model before it.
const fn llm_of(index: u64) -> u64 {
    if index % 8 == 7 { index - 1 } else { index }
}

fn program_of(world: &World, llm: u64) -> Option<u64> {
    let sold = sold(world.counts.programs);
    (sold > 0).then(|| llm % sold)
}

fn model_name(world: &World, llm: u64) -> String {
    let family = program_of(world, llm).map_or(&TEXT, |program| category(goods_of(program))).family;
    format!("{family}-{:04}", llm + 1)
}

/// The models that name this program, the first few of them.
pub(super) fn names_of(world: &World, program: u64) -> impl Iterator<Item = String> {
    let (models, sold) = (world.counts.models, sold(world.counts.programs).max(1));
    (0..MODELS_PER_LIST)
        .map(move |nth| program + nth * sold)
        .filter(move |llm| *llm < models && llm_of(*llm) == *llm)
        .map(|llm| model_name(world, llm))
}

pub(super) fn model(world: &World, index: u64, revision: u32) -> ModelRow {
    let llm = llm_of(index);
    let program = program_of(world, llm);
    let category = program.map_or(&TEXT, |program| category(goods_of(program)));
    let apps = world.counts.apis.div_ceil(APIS_PER_APP).max(1);
    let suffix = if revision == 0 { String::new() } else { format!(" v{revision}") };
    ModelRow {
        id: world.id_of(Kind::ApiMap, index),
        llmid: world.id_of(Kind::Llm, llm),
        name: format!("示例模型 {:04}{suffix}", llm + 1),
        model: model_name(world, llm),
        providerid: provider(llm),
        ownerid: "0",
        upappid: world.id_of(Kind::UpApp, llm % apps),
        llmcatelogid: category.id,
        catelogname: category.name,
        apiname: if llm == index { category.api } else { "async" },
        ppid: program.map(|program| world.id_of(Kind::Program, program)),
        isdefaultcatelog: if llm == index { "1" } else { "0" },
        min_balance: if llm.is_multiple_of(3) { "0" } else { "10" },
        status: if llm % 10 == 9 { "unpublished" } else { "published" },
        enabled_date: "2025-01-01",
        expired_date: "9999-12-31",
    }
}

pub(super) fn uapi(world: &World, index: u64, revision: u32) -> UapiRow {
    let app = index / APIS_PER_APP;
    let category = [&TEXT, &IMAGE, &SPEECH, &VIDEO][(index % 4) as usize];
    let suffix = if revision == 0 { String::new() } else { format!("_v{revision}") };
    UapiRow {
        id: world.id_of(Kind::Uapi, index),
        upappid: world.id_of(Kind::UpApp, app),
        upappname: format!("示例上游 {:03}", app + 1),
        baseurl: format!("https://up{:03}.example.com/api", app + 1),
        name: format!("{}_{:04}{suffix}", category.api, index + 1),
        path: category.path,
        httpmethod: "POST",
        stream: if category.id == "t2t" { "stream" } else { "none" },
        need_auth: if index % 10 == 9 { "0" } else { "1" },
        ioid: world.id_of(Kind::Io, index % 4),
        input_fields: format!(
            r#"[{{"name":"model","type":"str","required":true}},{{"name":"{}","type":"text","label":"输入"}}]"#,
            category.field
        ),
    }
}
