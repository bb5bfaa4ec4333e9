// What Egnyte's own SDK for JavaScript does with files, step by step; prints one JSON object.
// Arguments: the folder of the SDK, the sandbox's address, an administrator's token.
"use strict";

const crypto = require("crypto");
const { Readable } = require("stream");

const [sdk, domain, token] = process.argv.slice(2);
// Without the SDK's own pace of two calls a second.
const api = require(sdk).init(domain, { token, QPS: 1000 }).API;
const path = (name) => api.storage.path(name);
const sha512 = (data) => crypto.createHash("sha512").update(data).digest("hex");
const refused = (promise) => promise.then(
    () => "not refused", (error) => [error.statusCode, error.message]);

const steps = {
    async userInfo() {
        return (await api.auth.getUserInfo()).username;
    },
    async list() {
        const folder = await path("/Shared").get();
        return [folder.folders.map((each) => each.path), folder.files.map((each) => each.name)];
    },
    async exists() {
        return [await path("/Shared/Documents").exists(), await path("/Shared/none").exists()];
    },
    async upload() {
        const name = "/Shared/js/ü & _%20.txt";
        const stored = await path(name).storeFile(Readable.from([Buffer.from("hello")]), "text/plain", 5);
        const described = await path(name).get();
        const got = await path(name).download();
        return {
            same: stored.id === described.entry_id && stored.group_id === described.group_id,
            size: described.size,
            body: got.body,
            etag: got.headers.etag === described.entry_id,
        };
    },
    async stream() {
        const response = await path("/Shared/report 2024.txt").getFileStream();
        const blocks = [];
        response.on("data", (block) => blocks.push(block));
        const ended = new Promise((resolve) => response.on("end", resolve));
        response.resume();
        await ended;
        return Buffer.concat(blocks).toString();
    },
    async chunked() {
        const size = 10 * 1024 * 1024;
        const chunks = [Buffer.alloc(size, "a"), Buffer.alloc(size, "b"), Buffer.from("the end")];
        const seen = [];
        const note = (digest) => seen.push(digest);
        const upload = await path("/Shared/js/chunks.bin").startChunkedUpload(chunks[0], null, note);
        await upload.sendChunk(chunks[1], 2, note);
        const stored = await upload.sendLastChunk(chunks[2], note);
        const described = await path("/Shared/js/chunks.bin").get();
        return {
            verified: JSON.stringify(seen) === JSON.stringify(chunks.map(sha512)),
            stored: stored.id === described.entry_id,
            size: described.size,
            checksum: described.checksum,
            expected: `2-3-${size}-${sha512(chunks.map(sha512).join(""))}`,
        };
    },
    async versions() {
        const file = path("/Shared/js/versions.txt");
        const ids = [];
        for (const text of ["one", "two", "three"]) {
            ids.push((await file.storeFile(Readable.from([Buffer.from(text)]), null, text.length)).id);
        }
        const described = await file.get();
        const old = await file.download(ids[0]);
        const answer = {
            count: described.num_versions,
            newest: described.entry_id === ids[2],
            others: described.versions.map((each) => each.entry_id).sort().join()
                === ids.slice(0, 2).sort().join(),
            old: old.body,
            one: (await file.get(ids[1])).size,
        };
        answer.removed = await file.removeFileVersion(ids[0]);
        answer.left = (await file.get()).num_versions;
        await file.removeFileVersion(ids[1]);
        answer.list = "versions" in (await file.get());
        return answer;
    },
    async lock() {
        const file = path("/Shared/Documents/welcome.txt");
        const own = await file.lock("a-token-of-mine", 1800);
        const described = await file.get();
        const wrong = await refused(file.unlock("wrong"));
        const ended = await file.unlock("a-token-of-mine");
        const made = await file.lock();
        await file.unlock();
        return {
            own: own.lock_token,
            timeout: own.timeout,
            locked: described.locked,
            wrong: wrong[0],
            ended: ended.path,
            made: typeof made.lock_token,
            after: (await file.get()).locked,
        };
    },
    async byId() {
        const described = await path("/Shared/report 2024.txt").get();
        const file = api.storage.fileId(described.group_id);
        const answer = { path: (await file.get()).path, body: (await file.download()).body };
        await file.move("/Shared/js/moved report.txt");
        answer.moved = (await file.get()).path;
        await file.storeFile(Readable.from([Buffer.from("new")]), null, 3);
        answer.version = (await file.get()).num_versions;
        await file.lock();
        await file.unlock();
        const folder = await path("/Shared/js").get();
        const byId = api.storage.folderId(folder.folder_id);
        answer.folder = (await byId.get()).path;
        answer.parents = (await byId.parents()).parents.map((each) => each.path);
        answer.removed = await file.remove();
        answer.gone = (await refused(file.get()))[0];
        return answer;
    },
    async folders() {
        const answer = { made: (await path("/Shared/js/folder").createFolder()).path };
        answer.again = await refused(path("/Shared/js/folder").createFolder());
        answer.root = (await refused(path("/unknown").createFolder()))[0];
        await path("/Shared/js/folder").copy("/Shared/js/copied");
        await path("/Shared/js/copied").rename("/Shared/js/renamed");
        await path("/Shared/js/renamed").move("/Shared/js/folder/inside");
        answer.inside = (await path("/Shared/js/folder").get()).folders.map((each) => each.name);
        answer.removed = await path("/Shared/js/folder").remove();
        answer.missing = (await refused(path("/Shared/js/folder").remove()))[0];
        return answer;
    },
    async names() {
        const answer = {};
        for (const name of ["a.tmp", "Thumbs.db", "ends with a dot.", " begins with a space"]) {
            answer[name] = (await refused(path(`/Shared/js/${name}`).createFolder()))[0];
        }
        for (const name of ["+=;,.!$&'@()[]{}~^`", "#%", "żółć"]) {
            await path(`/Shared/js/${name}`).createFolder();
            answer[name] = (await path(`/Shared/js/${name}`).get()).name;
        }
        return answer;
    },
    async impersonate() {
        const asJane = api.storage.impersonate({ username: "jsmith" });
        const private_ = await asJane.path("/Private").get();
        return {
            seen: private_.folders.map((each) => each.name),
            byEmail: await api.storage.impersonate({ email: "jsmith@acme.example" })
                .path("/Private/jsmith").exists(),
            unknown: (await refused(
                api.storage.impersonate({ username: "nobody" }).path("/Shared").get()))[0],
        };
    },
};

(async () => {
    const told = {};
    for (const [name, step] of Object.entries(steps)) {
        try {
            told[name] = await step();
        } catch (error) {
            told[name] = `failed: ${error.stack || error}`;
        }
    }
    console.log(JSON.stringify(told));
})();
