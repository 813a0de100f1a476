//! The floor that intake is measured against: what durable webhooks cost at least. A bare actix-web
//! handler that verifies the signature, parses `action`, compresses with zstd level 1, and appends to
//! one plain file with a group commit (one `fdatasync` for whatever is ready) before it answers.
//!
//! It recognises nothing, routes nothing, supervises nothing and cannot be read back.

use std::fs::File;
use std::io::Write;
use std::sync::mpsc;

use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use clap::Parser;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;
use tokio::sync::oneshot;

/// The floor server.
#[derive(Parser)]
struct Options {
    /// Port on loopback
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The file to append to
    #[arg(long)]
    file: std::path::PathBuf,
    /// HTTP workers
    #[arg(long, default_value_t = 2)]
    workers: usize,
}

type Append = (Vec<u8>, oneshot::Sender<()>);

struct Floor {
    key: Hmac<Sha256>,
    log: mpsc::Sender<Append>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    action: Option<std::borrow::Cow<'a, str>>,
}

async fn deliver(request: HttpRequest, body: Bytes, floor: Data<Floor>) -> HttpResponse {
    let signature = request.headers().get("x-hub-signature-256").and_then(|value| value.to_str().ok());
    let code = signature.and_then(|text| hex::decode(text.strip_prefix("sha256=")?).ok()).unwrap_or_default();
    if floor.key.clone().chain_update(&body).verify_slice(&code).is_err() {
        return HttpResponse::Unauthorized().finish();
    }
    let Ok(event) = serde_json::from_slice::<Event<'_>>(&body) else { return HttpResponse::BadRequest().finish() };
    let Ok(packed) = zstd::bulk::compress(&body, 1) else { return HttpResponse::InternalServerError().finish() };
    let (done, durable) = oneshot::channel();
    if floor.log.send((packed, done)).is_err() || durable.await.is_err() {
        return HttpResponse::ServiceUnavailable().finish();
    }
    HttpResponse::Ok().json(event.action)
}

/// Appends whatever is ready, syncs once, answers all.
fn append(file: &mut File, inbox: &mpsc::Receiver<Append>) -> std::io::Result<()> {
    while let Ok(first) = inbox.recv() {
        let mut batch = vec![first];
        batch.extend(inbox.try_iter().take(511));
        let mut bytes = Vec::new();
        for (packed, _) in &batch {
            bytes.extend_from_slice(&(packed.len() as u64).to_le_bytes());
            bytes.extend_from_slice(packed);
        }
        file.write_all(&bytes)?;
        file.sync_data()?;
        for (_, done) in batch {
            let _ = done.send(());
        }
    }
    Ok(())
}

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut file = File::options().create(true).append(true).open(&options.file)?;
    let (log, inbox) = mpsc::channel();
    std::thread::spawn(move || append(&mut file, &inbox));
    let key = Hmac::<Sha256>::new_from_slice(pointsman_load::SECRET.as_bytes())?;
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::new(Floor { key: key.clone(), log: log.clone() }))
            .route("/webhooks/github", web::post().to(deliver))
    })
    .workers(options.workers)
    .bind(("127.0.0.1", options.port))?;
    for address in server.addrs() {
        println!("{address}");
    }
    server.run().await?;
    Ok(())
}
