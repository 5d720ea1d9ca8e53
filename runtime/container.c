/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A container that a runtime has: its state and its configuration. */
#include "runtime/container.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/base/proctext.h"

int process_start_time(pid_t pid, uint64_t *ret)
{
	cleanup_fd int proc = io_open_proc(pid);
	cleanup_buf struct buf text = BUF_INIT;
	struct proc_stat st;
	int r = proc < 0 ? proc : io_read_file(proc, "stat", &text);

	if (r == 0)
		r = proc_stat_parse(text.data ?: "", text.len, &st);
	if (r == -ENOENT || (r == 0 && (st.state == 'Z' || st.state == 'X')))
		return -ESRCH;
	if (r == 0)
		*ret = st.starttime;
	return r;
}

static int read_text(const char *path, const char *what, struct buf *text, struct err *err)
{
	int r = io_read_file(AT_FDCWD, path, text);

	return r < 0 ? err_sys(err, r, "reading the %s '%s'", what, path) : 0;
}

int config_load(const char *path, struct buf *text, struct oci_spec *spec, struct err *err)
{
	int r = read_text(path, "configuration", text, err);

	return r == 0 ? oci_spec_parse(spec, path, text->data ?: "", text->len, err) : r;
}

static int load_state(struct container *c, const char *id, struct err *err)
{
	bool crun = c->at.runtime == OCI_CRUN;
	char path[PATH_MAX + 16];
	int r;

	snprintf(path, sizeof(path), "%s/%s", c->at.dir, crun ? "status" : "state.json");
	r = read_text(path, "state", &c->state_text, err);
	if (r < 0)
		return r;
	if (crun)
		return oci_state_parse_crun(&c->state, id, path, c->state_text.data ?: "",
					    c->state_text.len, err);
	return oci_state_parse_runc(&c->state, path, c->state_text.data ?: "", c->state_text.len,
				    err);
}

/* crun keeps its copy of the configuration, and goes by it; runc has only that of the bundle. */
static int load_config(struct container *c, struct err *err)
{
	char path[PATH_MAX + 16];

	if (c->at.runtime == OCI_CRUN)
		snprintf(path, sizeof(path), "%s/config.json", c->at.dir);
	else if (c->state.bundle)
		snprintf(path, sizeof(path), "%s/config.json", c->state.bundle);
	else
		return err_image(err,
				 "the state of container '%s' does not say where its bundle is",
				 c->state.id);
	return config_load(path, &c->config_text, &c->spec, err);
}

int container_load(struct container *c, const struct rt_options *o, const char *id, struct err *err)
{
	struct find_env env;
	int r = find_check_id(id, err);

	find_env_get(&env, o->root);
	if (r == 0)
		r = find_container(&env, id, &c->at, err);
	if (r == 0)
		r = load_state(c, id, err);
	if (r == 0)
		r = load_config(c, err);
	return r;
}

int container_check_running(const struct container *c, struct err *err)
{
	char fifo[PATH_MAX + 16];
	uint64_t start = 0;
	int r = c->state.pid > 0 ? process_start_time(c->state.pid, &start) : -ESRCH;

	if (r == -ESRCH)
		return err_usage(err, "container '%s' is not running: its process %d has ended",
				 c->state.id, c->state.pid);
	if (r < 0)
		return err_sys(err, r, "looking at process %d of container '%s'", c->state.pid,
			       c->state.id);
	if (c->state.start_time && c->state.start_time != start)
		return err_usage(err,
				 "container '%s' is not running: its process %d has ended, and "
				 "another one has the number now",
				 c->state.id, c->state.pid);
	snprintf(fifo, sizeof(fifo), "%s/exec.fifo", c->at.dir);
	if (access(fifo, F_OK) == 0) {
		r = err_usage(err, "container '%s' is created, but not started yet", c->state.id);
		err_hint(err, "start it first");
		return r;
	}
	return 0;
}

void container_done(struct container *c)
{
	oci_spec_done(&c->spec);
	oci_state_done(&c->state);
	buf_done(&c->state_text);
	buf_done(&c->config_text);
}
