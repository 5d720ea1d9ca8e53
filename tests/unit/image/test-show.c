/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `show` says about images of every shape. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/image/catalogue.h"
#include "engine/image/image.h"
#include "proto/cgroup.pb-c.h"
#include "proto/core.pb-c.h"
#include "proto/hints.h"
#include "proto/inet.pb-c.h"
#include "proto/ipc.pb-c.h"
#include "proto/memory.pb-c.h"
#include "proto/paths.pb-c.h"
#include "proto/pipes.pb-c.h"
#include "proto/task.pb-c.h"
#include "tests/lib/test.h"

/* A folder that is gone at the end of the test, with the set that is written to it. */
struct place {
	char path[32];
	int fd;
	struct image_set *set;
	char *text; /* of the last show() */
	struct err err;
};

static void place_open(struct place *p)
{
	memset(p, 0, sizeof(*p));
	strcpy(p->path, "/tmp/ckpt-show-XXXXXX");
	check(mkdtemp(p->path) != NULL);
	p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check_int(image_set_new(&p->set), 0);
}

static void place_close(struct place *p)
{
	char command[64];

	close(p->fd);
	image_set_free(p->set);
	free(p->text);
	snprintf(command, sizeof(command), "rm -rf %s", p->path);
	check_int(system(command), 0);
}

/* Writes the set as it is; the inventory that makes it complete is of no interest here. */
static void place_commit(struct place *p)
{
	struct err err = ERR_INIT;
	int r = image_set_commit(p->set, p->fd, &err);

	check(r < 0 && strstr(err.text, "without an inventory"));
}

static void place_write(struct place *p, const char *name, const void *data, size_t len)
{
	int fd = openat(p->fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	check_int((int)write(fd, data, len), (int)len);
	close(fd);
}

static int show(struct place *p, const char *name, const char *fields, bool json)
{
	struct ckpt_show_options opts = { .fields = fields, .json = json };
	char path[128], *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int r;

	snprintf(path, sizeof(path), "%s/%s", p->path, name);
	memset(&p->err, 0, sizeof(p->err));
	r = ckpt_show(path, &opts, out, &p->err);
	fclose(out);
	free(p->text);
	p->text = text;
	return r;
}

/* Behind the name of the file, which is another one in every run. */
static const char *body(const struct place *p)
{
	const char *at = strstr(p->text, ".img\"");

	return at ? at + 5 : p->text;
}

static void add_tasks(struct place *p)
{
	PstreeEntry task = PSTREE_ENTRY__INIT;
	uint32_t tids[] = { 7, 8 };

	task.pid = 7;
	task.n_threads = 2;
	task.threads = tids;
	check_int(image_add(image_get(p->set, IMG_PSTREE, "pstree.img"), &task.base), 0);
	task.pid = 9;
	task.ppid = 7;
	task.n_threads = 1;
	check_int(image_add(image_get(p->set, IMG_PSTREE, "pstree.img"), &task.base), 0);
}

TEST(records_become_text_and_json)
{
	struct place p;

	place_open(&p);
	add_tasks(&p);
	place_commit(&p);
	check_int(show(&p, "pstree.img", NULL, false), 0);
	check_str(body(&p),
		  ": PSTREE\n"
		  "pstree_entry {\n\tpid: 7\n\tppid: 0\n\tpgid: 0\n\tsid: 0\n\tthreads: 7 8\n}\n"
		  "pstree_entry {\n\tpid: 9\n\tppid: 7\n\tpgid: 0\n\tsid: 0\n\tthreads: 7\n}\n");
	check_int(show(&p, "pstree.img", NULL, true), 0);
	check_str(body(&p),
		  ", \"magic\": \"PSTREE\", \"entries\": [\n"
		  "{\"pid\": 7, \"ppid\": 0, \"pgid\": 0, \"sid\": 0, \"threads\": [7, 8]},\n"
		  "{\"pid\": 9, \"ppid\": 7, \"pgid\": 0, \"sid\": 0, \"threads\": [7]}\n]}\n");
	place_close(&p);
}

TEST(fields_are_chosen_by_their_paths)
{
	struct place p;

	place_open(&p);
	add_tasks(&p);
	place_commit(&p);
	check_int(show(&p, "pstree.img", "pid,threads", true), 0);
	check_str(body(&p),
		  ", \"magic\": \"PSTREE\", \"entries\": [\n{\"pid\": 7, \"threads\": [7, 8]},\n"
		  "{\"pid\": 9, \"threads\": [7]}\n]}\n");
	check(show(&p, "pstree.img", "pid,nothing", false) < 0);
	check_int(p.err.class, ERR_USAGE);
	check(strstr(p.err.text, "has no field 'nothing'") != NULL);
	check_str(p.text, "");
	check(show(&p, "pstree.img", "pid.deeper", false) < 0); /* a number has no fields */
	check(show(&p, "pstree.img", "pid,,ppid", false) < 0);
	check(show(&p, "pstree.img", "", false) < 0);
	check(show(&p, "pstree.img", "pid.", false) < 0);
	check(show(&p, "pstree.img", ".pid", false) < 0);
	place_close(&p);
}

TEST(nested_fields_and_records_without_them)
{
	CoreEntry core = CORE_ENTRY__INIT;
	ThreadCoreEntry tc = THREAD_CORE_ENTRY__INIT;
	struct place p;

	place_open(&p);
	core.mtype = CORE_ENTRY__MARCH__X86_64;
	check_int(image_add(image_get(p.set, IMG_CORE, "core-1.img"), &core.base), 0);
	core.thread_core = &tc;
	tc.comm = (char *)"a \"b\"\n\x1b[0m \xc3\xa9 \xff";
	check_int(image_add(image_get(p.set, IMG_CORE, "core-1.img"), &core.base), 0);
	place_commit(&p);
	check_int(show(&p, "core-1.img", "thread_core.comm", false), 0);
	check_str(body(&p), ": CORE\ncore_entry {\n\tthread_core {\n\t\tcomm: "
			    "\"a \\\"b\\\"\\x0a\\x1b[0m \xc3\xa9 \\xff\"\n\t}\n}\n");
	check_int(show(&p, "core-1.img", "thread_core.comm", true), 0);
	check(strstr(p.text, "\"a \\\"b\\\"\\u000a\\u001b[0m \xc3\xa9 \\ufffd\"") != NULL);
	/* the whole of it wins over a part of it */
	check_int(show(&p, "core-1.img", "thread_core.comm,thread_core", false), 0);
	check(strstr(p.text, "futex_rla") != NULL);
	check_int(show(&p, "core-1.img", "thread_core,thread_core.comm", false), 0);
	check(strstr(p.text, "futex_rla") != NULL);
	/* an enum has its name */
	check_int(show(&p, "core-1.img", "mtype", true), 0);
	check(strstr(p.text, "{\"mtype\": \"X86_64\"}") != NULL);
	place_close(&p);
}

TEST(numbers_are_shown_as_what_they_are)
{
	struct image *img;
	MmEntry mm = MM_ENTRY__INIT;
	VmaEntry vma = VMA_ENTRY__INIT, *vmas[] = { &vma };
	GhostFileEntry ghost = GHOST_FILE_ENTRY__INIT;
	struct place p;

	place_open(&p);
	img = image_get(p.set, IMG_MM, "mm-1.img");
	vma.start = 0x1000;
	vma.prot = 5;
	vma.flags = 0x40000022;
	vma.fd = -1;
	mm.n_vmas = 1;
	mm.vmas = vmas;
	check_int(image_add(img, &mm.base), 0);
	ghost.has_dev = ghost.has_rdev = ghost.has_size = true;
	ghost.dev = 8 << 20 | 3;
	ghost.rdev = 0x0501;
	ghost.size = UINT64_MAX;
	check_int(image_add(image_get(p.set, IMG_GHOST_FILE, "ghost-file-1.img"), &ghost.base), 0);
	check_int(image_add_raw(image_get(p.set, IMG_GHOST_FILE, "ghost-file-1.img"), "abc", 3), 0);
	place_commit(&p);
	check_int(show(&p, "mm-1.img", "vmas", false), 0);
	check(strstr(p.text, "start: 0x1000\n") != NULL);
	check(strstr(p.text, "prot: PROT_READ|PROT_EXEC\n") != NULL);
	check(strstr(p.text, "flags: MAP_PRIVATE|MAP_ANONYMOUS|0x40000000\n") != NULL);
	check(strstr(p.text, "status: 0x0\n") != NULL);
	check(strstr(p.text, "fd: -1\n") != NULL);
	check_int(show(&p, "mm-1.img", "vmas.start,vmas.fd", true), 0);
	check(strstr(p.text, "{\"vmas\": [{\"start\": 4096, \"fd\": -1}]}") != NULL);
	check_int(show(&p, "ghost-file-1.img", NULL, false), 0);
	check(strstr(p.text, "\tdev: 8:3\n") != NULL);
	check(strstr(p.text, "\trdev: 5:1\n") != NULL);
	check(strstr(p.text, "\tsize: 18446744073709551615\n\t(3 bytes of data)\n") != NULL);
	place_close(&p);
}

TEST(bytes_behind_records_are_counted)
{
	PipeDataEntry pipe = PIPE_DATA_ENTRY__INIT;
	IpcDescEntry desc = IPC_DESC_ENTRY__INIT;
	IpcMsgEntry queue = IPC_MSG_ENTRY__INIT;
	IpcMsg msg = IPC_MSG__INIT;
	struct image *img;
	struct place p;

	place_open(&p);
	img = image_get(p.set, IMG_PIPES_DATA, "pipes-data.img");
	pipe.pipe_id = 3;
	pipe.bytes = 5;
	check_int(image_add(img, &pipe.base), 0);
	check_int(image_add_raw(img, "hello", 5), 0);
	pipe.pipe_id = 4;
	pipe.bytes = 0;
	check_int(image_add(img, &pipe.base), 0);
	img = image_get(p.set, IMG_IPCNS_MSG, "ipcns-msg-1.img");
	queue.desc = &desc;
	queue.qnum = 2;
	check_int(image_add(img, &queue.base), 0);
	msg.mtype = 9;
	msg.msize = 3;
	for (int i = 0; i < 2; i++) {
		check_int(image_add(img, &msg.base), 0);
		check_int(image_add_raw(img, "abc\0\0\0\0", 8), 0);
	}
	place_commit(&p);
	check_int(show(&p, "pipes-data.img", "pipe_id", true), 0);
	check(strstr(p.text, "{\"pipe_id\": 3, \"extra_bytes\": 5},\n{\"pipe_id\": 4}\n]") != NULL);
	check_int(show(&p, "ipcns-msg-1.img", "qnum,mtype", true), 0);
	check(strstr(p.text, "{\"qnum\": 2, \"entries\": [{\"mtype\": 9, \"extra_bytes\": 8}, "
			     "{\"mtype\": 9, \"extra_bytes\": 8}]}\n]}\n") != NULL);
	check_int(show(&p, "ipcns-msg-1.img", "qnum", false), 0);
	check(strstr(p.text, "\tqnum: 2\n\tipc_msg {\n\t\t(8 bytes of data)\n\t}\n") != NULL);
	place_close(&p);
}

TEST(an_image_without_a_head_is_known_by_its_name)
{
	char page[8192] = { 0 };
	struct place p;

	place_open(&p);
	place_write(&p, "pages-1.img", page, sizeof(page));
	check_int(show(&p, "pages-1.img", NULL, false), 0);
	check_str(body(&p), ": PAGES, 8192 bytes, 2 pages\n");
	check_int(show(&p, "pages-1.img", NULL, true), 0);
	check_str(body(&p), ", \"magic\": \"PAGES\", \"bytes\": 8192}\n");
	check(show(&p, "pages-1.img", "pid", false) < 0);
	place_close(&p);
}

TEST(what_is_no_image_is_refused)
{
	static const uint32_t unknown[] = { 0x54564319, 0x12345678 };
	struct place p;

	place_open(&p);
	check(show(&p, "absent.img", NULL, false) < 0);
	check_int(p.err.code, -ENOENT);
	place_write(&p, "x.img", "", 0);
	check(show(&p, "x.img", NULL, false) < 0);
	check_int(p.err.class, ERR_IMAGE);
	place_write(&p, "x.img", "abc", 3);
	check(show(&p, "x.img", NULL, false) < 0);
	place_write(&p, "x.img", unknown, 4);
	check(show(&p, "x.img", NULL, false) < 0);
	place_write(&p, "x.img", unknown, 8);
	check(show(&p, "x.img", NULL, false) < 0);
	check(strstr(p.err.text, "known type") != NULL);
	place_close(&p);
}

TEST(lengths_that_lead_out_of_the_file_are_refused)
{
	TcpStreamEntry tcp = TCP_STREAM_ENTRY__INIT;
	GhostChunkEntry chunk = GHOST_CHUNK_ENTRY__INIT;
	GhostFileEntry ghost = GHOST_FILE_ENTRY__INIT;
	IpcDescEntry desc = IPC_DESC_ENTRY__INIT;
	IpcMsgEntry queue = IPC_MSG_ENTRY__INIT;
	struct place p;

	place_open(&p);
	tcp.inq_len = tcp.outq_len = UINT32_MAX;
	check_int(image_add(image_get(p.set, IMG_TCP_STREAM, "tcp-stream-1.img"), &tcp.base), 0);
	ghost.has_chunks = ghost.chunks = true;
	chunk.len = UINT64_MAX;
	check_int(image_add(image_get(p.set, IMG_GHOST_FILE, "ghost-file-1.img"), &ghost.base), 0);
	check_int(image_add(image_get(p.set, IMG_GHOST_FILE, "ghost-file-1.img"), &chunk.base), 0);
	queue.desc = &desc;
	queue.qnum = UINT32_MAX;
	check_int(image_add(image_get(p.set, IMG_IPCNS_MSG, "ipcns-msg-1.img"), &queue.base), 0);
	place_commit(&p);
	check(show(&p, "tcp-stream-1.img", NULL, false) < 0);
	check_int(p.err.class, ERR_IMAGE);
	check(show(&p, "ghost-file-1.img", NULL, false) < 0);
	check_int(p.err.class, ERR_IMAGE);
	check(show(&p, "ipcns-msg-1.img", NULL, false) < 0);
	check_int(p.err.class, ERR_IMAGE);
	place_close(&p);
}

/* Each level is a child list of one; a tag and a length around everything that is inside. */
static size_t nest(uint8_t *buf, size_t size, int levels)
{
	size_t at = size;

	for (int i = 0; i < levels; i++) {
		size_t len = size - at, digits = len < 128 ? 1 : len < 16384 ? 2 : 3;

		at -= digits;
		for (size_t k = 0; k < digits; k++)
			buf[at + k] = (uint8_t)(len >> 7 * k & 0x7f) | (k + 1 < digits ? 0x80 : 0);
		buf[--at] = 2 << 3 | 2; /* cgroup_dir_entry.children, controllers.dirs */
	}
	return at;
}

TEST(deep_nesting_is_refused_and_does_not_eat_the_stack)
{
	enum { SIZE = 2 << 20 };
	uint32_t head[] = { 0x54564319, 0x59383330, 0 };
	uint8_t *buf = calloc(1, SIZE);
	size_t at = nest(buf, SIZE, 400000);
	struct place p;

	place_open(&p);
	head[2] = (uint32_t)(SIZE - at);
	at -= sizeof(head);
	memcpy(buf + at, head, sizeof(head));
	place_write(&p, "cgroup.img", buf + at, SIZE - at);
	check(show(&p, "cgroup.img", NULL, false) < 0);
	check_int(p.err.class, ERR_IMAGE);
	check(strstr(p.err.text, "nests messages too deep") != NULL);
	free(buf);
	place_close(&p);
}

TEST(the_catalogue_is_sound)
{
	for (const struct image_content *c = image_contents; c->name; c++) {
		const struct image_payload *all[] = { &c->after_first, &c->after_record,
						      &c->after_inner };
		const ProtobufCMessageDescriptor *of[] = { c->first, c->record, c->inner };

		check(c->magic ? image_content_by_magic(c->magic) == c : c->file != NULL);
		for (int i = 0; i < 3; i++)
			for (int k = 0; all[i]->fields[k]; k++)
				check(protobuf_c_message_descriptor_get_field_by_name(
					      of[i], all[i]->fields[k]) != NULL);
	}
	check(image_content_by_magic(0) == NULL);
}

TEST(hints_come_from_the_message_files)
{
	check_int(proto_hint_find("vma_entry", "start")->kind, HINT_HEX);
	check_int(proto_hint_find("vma_entry", "prot")->kind, HINT_FLAGS);
	check_str(proto_hint_find("vma_entry", "prot")->table, "mmap.prot");
	check_int(proto_hint_find("ghost_file_entry", "dev")->kind, HINT_DEV);
	check_int(proto_hint_find("ghost_file_entry", "rdev")->kind, HINT_ODEV);
	check_int(proto_hint_find("inet_sk_entry", "src_addr")->kind, HINT_IP);
	check(proto_hint_find("vma_entry", "pgoff") == NULL);
}

TEST_MAIN()
