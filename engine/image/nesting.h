/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A bound for messages that hold messages of their own type. */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Deeper than any tree of cgroups of a real machine. */
enum { NESTING_MAX = 100 };

/*
 * Whether the encoded message of len bytes nests messages no deeper than NESTING_MAX. protobuf-c
 * unpacks nested messages by recursion with a frame of more than a kilobyte and has no bound of its
 * own: some kilobytes of hostile input would overflow the stack. Other faults of the encoding are
 * left for protobuf-c to find.
 */
bool nesting_bounded(const ProtobufCMessageDescriptor *desc, const uint8_t *data, size_t len);
