/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The field options of options.proto as a table: protobuf-c drops them from its descriptors. */
#pragma once

enum proto_hint_kind {
	HINT_NONE,
	HINT_HEX,   /* a number to show in hexadecimal */
	HINT_IP,    /* words of an IPv4 or IPv6 address, in network byte order */
	HINT_DEV,   /* a device number as the kernel keeps it inside */
	HINT_ODEV,  /* a device number in the encoding of stat() */
	HINT_FLAGS, /* bits, named in a table */
	HINT_DICT,  /* one of a list of values, named in a table */
	HINT_CONV,  /* a conversion of its own */
};

struct proto_hint {
	const char *message, *field;
	enum proto_hint_kind kind;
	const char *table; /* of HINT_FLAGS, HINT_DICT and HINT_CONV */
};

/* The hint of a field, or NULL. */
const struct proto_hint *proto_hint_find(const char *message, const char *field);
