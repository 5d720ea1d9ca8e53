/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Message queues of a broken inventory are refused before anything is made. */
#include <stdlib.h>
#include <string.h>

#include "engine/ns/mqueue.h"
#include "proto/inventory.pb-c.h"
#include "proto/ipc.pb-c.h"
#include "tests/lib/test.h"

/* A good one, which a test then spoils. */
struct broken {
	MqueueMessage message, *messages[1];
	MqueueEntry queues[2], *list[2];
	InventoryEntry inventory;
	struct restore r;
	struct err err;
};

static void prepare(struct broken *b)
{
	static uint8_t data[16];
	int i;

	memset(b, 0, sizeof(*b));
	mqueue_message__init(&b->message);
	inventory_entry__init(&b->inventory);
	b->message.data.data = data;
	b->message.data.len = sizeof(data);
	b->messages[0] = &b->message;
	for (i = 0; i < 2; i++) {
		mqueue_entry__init(&b->queues[i]);
		b->queues[i].id = (uint32_t)i + 1;
		b->queues[i].name = (char *)(i ? "second" : "first");
		b->queues[i].max_messages = 2;
		b->queues[i].message_size = sizeof(data);
		b->list[i] = &b->queues[i];
	}
	b->queues[0].messages = b->messages;
	b->queues[0].n_messages = 1;
	b->inventory.mqueues = b->list;
	b->inventory.n_mqueues = 2;
}

static void check_refused(struct broken *b, const char *text)
{
	check(mqueues_load(&b->r, &b->inventory, &b->err) < 0);
	check(strstr(b->err.text, text));
	check(strstr(b->err.text, "inventory.img"));
	arena_done(&b->r.arena);
}

TEST(good_ones_are_found_by_number)
{
	struct broken b;

	prepare(&b);
	check_int(mqueues_load(&b.r, &b.inventory, &b.err), 0);
	check(mqueue_find(&b.r, 2) == &b.queues[1]);
	check(!mqueue_find(&b.r, 3));
	arena_done(&b.r.arena);
}

TEST(names_must_be_names)
{
	static const char *const bad[] = { "", "..", "a/b", "/first" };
	struct broken b;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		prepare(&b);
		b.queues[0].name = (char *)bad[i];
		check_refused(&b, "name");
	}
}

TEST(numbers_are_there_once)
{
	struct broken b;

	prepare(&b);
	b.queues[1].id = 1;
	check_refused(&b, "twice");
	prepare(&b);
	b.queues[0].id = 0;
	check_refused(&b, "first");
}

TEST(messages_must_fit)
{
	struct broken b;

	prepare(&b);
	b.message.data.len = 17;
	check_refused(&b, "17 bytes");
	prepare(&b);
	b.message.priority = 32768;
	check_refused(&b, "priority 32768");
	prepare(&b);
	b.queues[0].max_messages = 0;
	check_refused(&b, "first");
	prepare(&b);
	b.queues[0].message_size = UINT32_MAX;
	check_refused(&b, "first");
}

TEST_MAIN()
