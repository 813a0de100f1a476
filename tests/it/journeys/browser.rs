//! The operators' page in a real browser: Chromium, driven by WebDriver, before a real server.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use fantoccini::wd::Capabilities;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use pointsman_sandbox::Sandbox;
use serde_json::{Value, json};

use crate::server::{TOKEN, TestServer, until};

/// A source in whose subjects its senders write what they like.
const TICKETS: &str = r#"
[webhooks.tickets]
kind = "generic"
secret = "the tickets' token"
scheme = "token"
header = "x-token"
event_type = "'ticket'"
delivery_id = "payload.id"
subject = "payload.title"
"#;

/// A browser, and its driver, which ends with the test.
struct Browser {
    driver: Child,
    page: Client,
}

impl Browser {
    async fn start() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .spawn()
            .expect("`chromedriver` does not start; run scripts/test, which installs it");
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines().map(Result::unwrap);
        let said = "ChromeDriver was started successfully on port ";
        let port = lines.filter_map(|line| line.strip_prefix(said).map(str::to_owned)).next().unwrap();
        let url = format!("http://127.0.0.1:{}", port.trim_end_matches('.'));
        // Whoever runs the tests may be root, and containers give little shared memory.
        let arguments = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--no-proxy-server"];
        let capabilities = json!({"goog:chromeOptions": {"args": arguments}});
        let Value::Object(capabilities) = capabilities else { unreachable!() };
        let mut client = ClientBuilder::new(HttpConnector::new());
        let page = client.capabilities(Capabilities::from_iter(capabilities)).connect(&url).await.unwrap();
        Self { driver, page }
    }

    async fn text(&self, css: &str) -> String {
        self.page.find(Locator::Css(css)).await.unwrap().text().await.unwrap()
    }

    async fn sign_in(&self, token: &str) {
        self.page.find(Locator::Css("#token")).await.unwrap().send_keys(token).await.unwrap();
        self.page.find(Locator::Css("button")).await.unwrap().click().await.unwrap();
    }

    /// Waits until this part of the page says so.
    async fn says(&self, css: &str, what: &str) {
        until(&format!("{css} says {what}"), async || match self.page.find(Locator::Css(css)).await {
            Ok(found) => found.text().await.is_ok_and(|text| text.contains(what)),
            Err(_) => false,
        })
        .await;
    }

    /// Ends it; its driver would leave it behind.
    async fn close(self) {
        self.page.clone().close().await.unwrap();
    }

    /// What a script on the page that is shown comes to.
    async fn script(&self, script: &str) -> Value {
        self.page.execute(script, Vec::new()).await.unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

#[actix::test]
async fn an_operator_signs_in_sees_what_others_have_written_as_text_and_signs_out() {
    let server = TestServer::start(TICKETS).await;
    let title = "<img src=x onerror=\"document.title='theirs'\">";
    let ticket = json!({"id": "1", "title": title}).to_string();
    let headers = [("content-type", "application/json"), ("x-token", "the tickets' token")];
    assert_eq!(server.post("/webhooks/tickets", &headers, ticket).await.status, 200);
    let browser = Browser::start().await;
    browser.page.goto(&server.url("/")).await.unwrap();
    browser.sign_in("a guess").await;
    browser.says("[role=alert]", "That token opens nothing here").await;
    browser.sign_in(TOKEN).await;
    browser.says("#health", "healthy").await;
    browser.says("#who", "admin").await;
    browser.says("#events", title).await;
    assert_eq!(browser.text("#trouble").await, "");
    assert_eq!(browser.page.title().await.unwrap(), "pointsman", "what it says was not done");
    assert_eq!(browser.script("return document.cookie").await, "", "no script reads the cookie");
    // Whoever gets markup into the page all the same runs nothing by it.
    let refused = browser
        .script(
            "const refused = [];
             const both = new Promise(done => document.addEventListener('securitypolicyviolation', event => {
               if (refused.push(event.violatedDirective) === 2) { done(); }
             }));
             const image = document.createElement('div');
             image.innerHTML = '<img src=/nowhere onerror=\"document.title=`theirs`\">';
             const script = document.createElement('script');
             script.textContent = 'document.title = `theirs`';
             document.body.append(image, script);
             return both.then(() => refused.sort());",
        )
        .await;
    assert_eq!(refused, json!(["script-src-attr", "script-src-elem"]));
    assert_eq!(browser.page.title().await.unwrap(), "pointsman");
    browser.page.find(Locator::Css("#sign-out")).await.unwrap().click().await.unwrap();
    browser.says("label", "Token").await;
    browser.page.goto(&server.url("/")).await.unwrap();
    browser.says("label", "Token").await;
    browser.close().await;
}

#[actix::test]
async fn a_page_of_another_site_cannot_use_the_session_nor_show_the_page() {
    let server = TestServer::start("").await;
    let elsewhere = Sandbox::start(0).await.unwrap();
    let browser = Browser::start().await;
    browser.page.goto(&server.url("/")).await.unwrap();
    browser.sign_in(TOKEN).await;
    browser.says("#who", "admin").await;
    // The one is another site, which gets no cookie sent; the other the same one on another port, which gets it sent.
    let neighbour = elsewhere.url();
    let stranger = neighbour.replace("127.0.0.1", "localhost");
    for (from, refused) in [(stranger.as_str(), "unauthorized"), (neighbour, "csrf")] {
        browser.page.goto(from).await.unwrap();
        let read = format!(
            "return fetch('{}', {{credentials: 'include'}}).then(answer => answer.text(), error => 'kept from it')",
            server.url("/api/v1/runs")
        );
        assert_eq!(browser.script(&read).await, "kept from it", "{from}");
        let frame = format!(
            "const frame = document.createElement('iframe');
             const shown = new Promise(done => frame.onload = done);
             frame.src = '{}';
             document.body.append(frame);
             return shown.then(() => 'shown')",
            server.url("/")
        );
        assert_eq!(browser.script(&frame).await, "shown");
        browser.page.find(Locator::Css("iframe")).await.unwrap().enter_frame().await.unwrap();
        let shown = browser.page.source().await.unwrap();
        assert!(!shown.contains("overview.js") && !shown.contains("id=\"token\""), "{from}: {shown}");
        browser.page.enter_parent_frame().await.unwrap();
        let send = format!(
            "const form = document.createElement('form');
             form.method = 'post';
             form.action = '{}';
             document.body.append(form);
             form.submit();",
            server.url("/api/v1/breakers/nobody/reset")
        );
        browser.script(&send).await;
        browser.says("body", refused).await;
        browser.page.goto(&server.url("/")).await.unwrap();
        browser.says("#who", "admin").await;
    }
    browser.close().await;
}
