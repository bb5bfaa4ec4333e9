// What Egnyte's own SDK for JavaScript does beside files, step by step; prints one JSON object.
// Arguments: the folder of the SDK, the sandbox's address, an administrator's token.
"use strict";

const [sdk, domain, token] = process.argv.slice(2);
// Without the SDK's own pace of two calls a second.
const api = require(sdk).init(domain, { token, QPS: 1000 }).API;
const FILE = "/Shared/Documents/welcome.txt";
const refused = (promise) => promise.then(() => "not refused", (error) => error.statusCode);

const steps = {
    async links() {
        const made = await api.link.createLink({ path: FILE, accessibility: "anyone" });
        const id = made.links[0].id;
        const one = await api.link.listLink(id);
        const listed = await api.link.listLinks({ path: FILE });
        const found = await api.link.findOne({ path: FILE });
        return {
            url: made.links[0].url === one.url,
            path: one.path,
            ids: listed.ids.length === 1 && listed.ids[0] === id,
            found: found.url === one.url,
            removed: await api.link.removeLink(id),
            gone: await refused(api.link.listLink(id)),
            none: await api.link.findOne({ path: FILE }),
        };
    },
    async notes() {
        const made = await api.notes.path(FILE).addNote("A remark");
        const note = await api.notes.getNote(made.id);
        const listed = await api.notes.path(FILE).listNotes({ count: 5 });
        await api.notes.removeNote(made.id);
        return {
            message: note.message,
            listed: listed.notes.map((each) => each.id === made.id),
            gone: await refused(api.notes.getNote(made.id)),
        };
    },
    async events() {
        const start = await api.events.getCursor();
        const emitted = [];
        const emit = (event) => emitted.push([event.action, event.data.target_path]);
        await api.storage.path("/Shared/js events").createFolder();
        await api.events.getUpdate({ start, emit });
        await new Promise((resolve) => setTimeout(resolve, 20));
        const folder = await api.events.filter({ folder: "/Shared/Documents" }).getUpdate({ start });
        return { emitted, elsewhere: folder.response.statusCode };
    },
    async users() {
        const jane = await api.user.getByName("jsmith");
        const same = await api.user.getById(jane.id);
        return [same.email, await refused(api.user.getByName("nobody"))];
    },
    async permissions() {
        await api.perms.users(["jsmith", "nobody"]).groups(["Staff"]).path("/Shared/Documents")
            .allowView();
        const found = await api.perms.users(["jsmith"]).path("/Shared/Documents").getPerms();
        const effective = await api.userPerms.path("/Shared/Documents").get("jsmith");
        const folder = await api.storage.path("/Shared/Documents").get();
        const byId = await api.userPerms.folderId(folder.folder_id).get("jsmith");
        const own = await api.userPerms.path("/Shared/Documents").get();
        return { users: found.users, effective: effective.permission, own: own.permission,
            byId: byId.permission };
    },
    async search() {
        const results = await api.search.getResults("welcome");
        return [results.totalCount, results.sample[0].path, (await results.page(1)).length];
    },
};

(async () => {
    const told = {};
    for (const [name, step] of Object.entries(steps)) {
        told[name] = await step();
    }
    console.log(JSON.stringify(told));
})().catch((error) => {
    console.error(error);
    process.exit(1);
});
