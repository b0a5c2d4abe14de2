/* attempt_record.h: what an attempt writes into the report of its port; for attempt.c alone. */
#ifndef PROBE_ATTEMPT_RECORD_H
#define PROBE_ATTEMPT_RECORD_H

#include "probe/attempt.h"

/* ms since a time of uv_hrtime(). */
double attempt_ms_since(uint64_t ns);

/* How the connect to the current candidate went; code ERROR_NONE: it was accepted. */
void attempt_record_try(struct attempt *a, const struct failure *failure);

/* What the last try came to after all. */
void attempt_record_failed_try(struct attempt *a, const struct failure *failure);

/* The candidates that the policy forbids, up to the next one that it permits. */
void attempt_record_blocked(struct attempt *a);

/* Plain text came where a TLS record was due. Behind the agreement to STARTTLS it was put there, unless it is
 * a reaction of the server: it takes its agreement back, or it cannot make sense of our hello. Of a refusal
 * its first line counts; what follows answers our hello. */
void attempt_judge_plaintext(const struct attempt *a, struct failure *failure);

/* The time that the answer took which was just taken. */
void attempt_record_wait(struct attempt *a);

/* The server's certificates, as soon as there are any. */
void attempt_record_certificate(struct attempt *a);

/* One line of the dialogue for the transcript, its line end included where it came. */
void attempt_record_line(struct attempt *a, bool sent, const void *data, size_t len);

/* Several lines: commands that go out together, or what was received and is no whole answer, the line that
 * has no end included. */
void attempt_record_words(struct attempt *a, bool sent, const void *data, size_t len);

/* Forgets what the first connection told: a second one tells everything anew. The tries and the transcript
 * stay. */
void attempt_forget(struct attempt *a);

#endif
