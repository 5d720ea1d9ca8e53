/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests: receiving them, and the options that they carry. */
#include "engine/rpc/rpc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/base/cleanup.h"
#include "proto/rpc.pb-c.h"

/* The size of the next packet, which stays. 0 also stands for a closed socket. */
static ssize_t next_size(int sk)
{
	ssize_t n;

	do
		n = recv(sk, NULL, 0, MSG_PEEK | MSG_TRUNC);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int rpc_receive(int sk, struct rpc_request *ret, struct err *err)
{
	cleanup_free void *data = NULL;
	ssize_t n = next_size(sk);

	if (n < 0)
		return err_sys(err, (int)n, "receiving a request");
	if (n > RPC_MAX_BYTES)
		return err_image(err, "the request has %zd bytes, and %u are the most", n,
				 RPC_MAX_BYTES);
	data = malloc((size_t)n + 1);
	if (!data)
		return err_nomem(err);
	/* without room for control messages: descriptors that were passed are closed by the kernel
	 */
	n = recv(sk, data, (size_t)n, 0);
	if (n < 0)
		return err_sys(err, -errno, "receiving a request");
	return n == 0 ? RPC_END : rpc_parse(data, (size_t)n, ret, err);
}

int rpc_parse(const void *data, size_t len, struct rpc_request *ret, struct err *err)
{
	CriuReq *m = criu_req__unpack(NULL, len, data);

	if (!m)
		return err_image(err, "the request cannot be decoded");
	*ret = (struct rpc_request){
		.type = (unsigned int)m->type,
		.keep_open = m->keep_open,
		.notify_success = m->notify_success,
		.has_options = m->opts,
		.has_features = m->features,
		.pid = (pid_t)m->pid,
		.message = m,
	};
	if (m->features)
		ret->features = (struct rpc_features){ .mem_track = m->features->mem_track,
						       .lazy_pages = m->features->lazy_pages,
						       .pidfd_store = m->features->pidfd_store };
	return 0;
}

void rpc_request_done(struct rpc_request *req)
{
	if (req->message)
		criu_req__free_unpacked(req->message, NULL);
	req->message = NULL;
}

/* ---- options ---- */

/* How many values a field has, and where the first is. */
static size_t values_of(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
			const char **ret_at)
{
	const char *member = (const char *)m + f->offset;
	const char *count = (const char *)m + f->quantifier_offset;

	*ret_at = member;
	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		*ret_at = *(const char *const *)member;
		return *(const size_t *)count;
	}
	if (f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE)
		return *(const void *const *)member != NULL;
	return f->label == PROTOBUF_C_LABEL_REQUIRED || *(const protobuf_c_boolean *)count;
}

static size_t value_size(const ProtobufCFieldDescriptor *f)
{
	return f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE
		       ? sizeof(void *)
		       : sizeof(uint32_t);
}

/* The word of a value that is no message. NULL: out of memory. */
static const char *word_of(struct arena *arena, const ProtobufCFieldDescriptor *f, const char *at)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_BOOL:
		return *(const protobuf_c_boolean *)at ? "true" : "false";
	case PROTOBUF_C_TYPE_UINT32:
		return arena_printf(arena, "%u", *(const uint32_t *)at);
	case PROTOBUF_C_TYPE_STRING:
		return arena_strdup(arena, *(const char *const *)at);
	default: /* int32 and enumerations */
		return arena_printf(arena, "%d", *(const int32_t *)at);
	}
}

static int message_words(struct arena *arena, const ProtobufCMessage *m, struct rpc_option *ret)
{
	const ProtobufCMessageDescriptor *d = m->descriptor;
	const char **words = arena_alloc(arena, d->n_fields * sizeof(*words));
	const char *at;

	if (!words)
		return -ENOMEM;
	for (unsigned int i = 0; i < d->n_fields; i++) {
		if (!values_of(m, &d->fields[i], &at))
			continue;
		words[i] = word_of(arena, &d->fields[i], at);
		if (!words[i])
			return -ENOMEM;
	}
	ret->n = d->n_fields;
	ret->words = words;
	return 0;
}

static int one_word(struct arena *arena, const ProtobufCFieldDescriptor *f, const char *at,
		    struct rpc_option *ret)
{
	const char **words = arena_alloc(arena, sizeof(*words));

	if (!words)
		return -ENOMEM;
	words[0] = word_of(arena, f, at);
	ret->n = 1;
	ret->words = words;
	return words[0] ? 0 : -ENOMEM;
}

static int tell_field(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
		      struct arena *arena, rpc_option_fn fn, void *arg, struct err *err)
{
	struct rpc_option o = { .field = f->id };
	const char *at;
	size_t n = values_of(m, f, &at);
	int r = 0;

	for (size_t i = 0; i < n && r >= 0; i++, at += value_size(f)) {
		r = f->type == PROTOBUF_C_TYPE_MESSAGE
			    ? message_words(arena, *(const ProtobufCMessage *const *)at, &o)
			    : one_word(arena, f, at, &o);
		r = r < 0 ? err_nomem(err) : fn(arg, &o, err);
	}
	return r < 0 ? r : 0;
}

/* Generated descriptors list fields by number: their tables of ranges rely on it. */
int rpc_each_option(const struct rpc_request *req, struct arena *arena, rpc_option_fn fn, void *arg,
		    struct err *err)
{
	const ProtobufCMessageDescriptor *d = &criu_opts__descriptor;
	const CriuOpts *opts = req->message->opts;
	int r = 0;

	for (unsigned int i = 0; opts && i < d->n_fields && r == 0; i++)
		r = tell_field(&opts->base, &d->fields[i], arena, fn, arg, err);
	return r;
}
