/* limits.h: every bound of the program in one list. Hitting one is recorded in the report, never silent. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

/* What a server may send. */
#define LIMIT_LINE_BYTES (256u * 1024)        /* one response line, literals included */
#define LIMIT_LITERAL_BYTES LIMIT_LINE_BYTES  /* one literal: known to be too long before it comes */
#define LIMIT_PHASE_LINES 4096u               /* lines of one phase of the dialogue */
#define LIMIT_PHASE_BYTES (512u * 1024)       /* all of them together */
#define LIMIT_CONNECTION_BYTES (1024u * 1024) /* all application bytes of one connection */
#define LIMIT_RAW_BYTES (2048u * 1024)        /* all bytes of one connection, TLS overhead included */
#define LIMIT_HANDSHAKE_MESSAGE (128u * 1024) /* one TLS handshake message */
#define LIMIT_CERTIFICATE_BYTES (96u * 1024)  /* one certificate; an octet may cost 10,000 instructions */
#define LIMIT_CAPABILITIES 8192u              /* in one phase */
#define LIMIT_CAPABILITY_BYTES 255u           /* of one capability */
#define LIMIT_ID_FIELDS 30u                   /* RFC 2971 section 3.3 */
#define LIMIT_CHAIN 16u                       /* certificates looked at */
#define LIMIT_SANS_SHOWN 500u                 /* all of them are matched */
#define LIMIT_ADDRESSES 16u                   /* of one host */
#define LIMIT_CNAMES 8u                       /* followed for one name */

/* How long a server may take, in ms; the defaults of the options of the same name. */
#define LIMIT_DNS_MS 5000     /* the resolution of the name */
#define LIMIT_CONNECT_MS 5000 /* each connect */
#define LIMIT_IO_MS 10000     /* the greeting, the handshake, each answer: however many bytes drip */
#define LIMIT_TEST_MS 20000   /* the whole test */
#define LIMIT_WORDS_MS 300u   /* what comes in the place of TLS, from its first byte on */
#define LIMIT_LOGOUT_MS 1000u /* the farewell, whatever the other limits say */

/* A bound as the text that options are given in. */
#define LIMIT_AS_TEXT(limit) LIMIT_AS_TEXT_(limit)
#define LIMIT_AS_TEXT_(limit) #limit

/* What a report may hold. */
#define LIMIT_TEXT_CHARS 512u                  /* characters of one string shown */
#define LIMIT_QUOTED_CHARS 160u                /* the same, quoted inside a sentence of ours */
#define LIMIT_TRANSCRIPT_LINES 200u            /* of one port; the last one is always kept */
#define LIMIT_REPORT_BYTES (16u * 1024 * 1024) /* memory of one report */

/* Memory kept back for libraries that do not survive a failed allocation; of the whole process. */
#define LIMIT_RESERVE_BYTES (1024u * 1024)

/* Certificate chains that each worker remembers, of one to two kilobytes as a rule. */
#define LIMIT_CHAIN_CACHE_ENTRIES 4096u
#define LIMIT_CHAIN_CACHE_BYTES (8u * 1024 * 1024)

/* Pieces of reports that each worker remembers, and the longest of them. */
#define LIMIT_PIECE_CACHE_BYTES (2u * 1024 * 1024)
#define LIMIT_PIECE_BYTES (8u * 1024)

/* Results kept to answer again. */
#define LIMIT_CACHE_ENTRIES 4096u
#define LIMIT_CACHE_BYTES (32u * 1024 * 1024)

/* The store that replicas share: how long it may take to answer, in ms, before the service goes on without; the
 * longest result that it gets; and what may wait to be written to it. */
#define LIMIT_SHARED_MS 200u
#define LIMIT_SHARED_BODY_BYTES (1024u * 1024)
#define LIMIT_SHARED_BACKLOG_BYTES (8u * 1024 * 1024)

/* How long a whole request may take to arrive, and a whole answer to be taken, in ms. */
#define LIMIT_TRANSFER_MS 30000u
#define LIMIT_PATIENCE_MS 500u /* the same, where connections run short */

/* How long a health check waits for the service in all. */
#define LIMIT_HEALTH_MS 3000u

/* Reports that are kept or being sent, of several megabytes each where a server wants it so. Beyond, callers have
 * less time to take theirs. */
#define LIMIT_ANSWERS_BYTES (128u * 1024 * 1024)
#define LIMIT_PRESSED_MS 2000u

/* What a caller may send. */
#define LIMIT_HOST_BYTES 253u
#define LIMIT_LABEL_BYTES 63u
#define LIMIT_REQUEST_LINE_BYTES 4096u
#define LIMIT_REQUEST_HEADER_BYTES 8192u
#define LIMIT_REQUEST_BODY_BYTES (64u * 1024)

/* What an operator may put in the file of API keys; every request is compared with all of them. */
#define LIMIT_API_KEYS 1000
#define LIMIT_API_KEY_BYTES 512
#define LIMIT_API_KEY_FILE_BYTES (1024u * 1024)

/* Who is remembered for the rate limits, at 16 bytes each. A million clients over their limit at once find room in
 * the first, though no one of them has more than 16 places to be in: 24 MiB, and 2 MiB for the targets. */
#define LIMIT_CLIENT_ENTRIES (1536u * 1024)
#define LIMIT_TARGET_ENTRIES (128u * 1024)

#endif
