/* print_tables: the enumerations of the contract as the program has them, a line "table value" each, for
 * check.py. Problems also come as "problem_STATUS code". */
#include <stdio.h>

#include "api/problem.h"
#include "api/route.h"
#include "probe/base/error.h"
#include "probe/report/catalogue.h"
#include "probe/report/certificate.h"
#include "probe/report/finding.h"
#include "probe/report/report.h"

#define EACH(table, type, from, to, name)                                                                    \
    for (int i = (from); i <= (int)(to); i++)                                                                \
    printf("%s %s\n", table, name((enum type)i))

static void print_catalogue(void)
{
    size_t count;
    const struct catalogue_row *rows = catalogue_rows(&count);
    for (size_t i = 0; i < count; i++) {
        printf("capability %s\n", rows[i].name);
        printf("category %s\n", rows[i].category);
        if (rows[i].gap) {
            printf("gap %s\n", rows[i].name);
        }
    }
}

int main(void)
{
    EACH("error", error_code, ERROR_NONE + 1, ERROR_COUNT - 1, error_name);
    EACH("phase", phase, 0, PHASE_COUNT - 1, phase_name);
    EACH("verdict", verdict, VERDICT_OK, VERDICT_UNREACHABLE, verdict_name);
    EACH("truncated", cut, 0, CUT_COUNT - 1, cut_name);
    EACH("severity", severity, 0, SEVERITY_COUNT - 1, severity_name);
    EACH("chain_error", chain_error, 0, CHAIN_ERROR_COUNT - 1, chain_error_name);
    EACH("san_type", san_type, 0, SAN_TYPE_COUNT - 1, san_type_name);
    EACH("ocsp_stapling", ocsp_stapling, 0, OCSP_STAPLING_COUNT - 1, ocsp_stapling_name);
    EACH("path", route, 0, ROUTE_COUNT - 1, route_path);
    for (int i = 0; i < (int)FINDING_COUNT; i++) {
        printf("finding %s\n", finding_row((enum finding_id)i)->id);
    }
    for (int i = 0; i < (int)PROBLEM_COUNT; i++) {
        printf("problem_%u %s\n", problem_status((enum problem_code)i), problem_name((enum problem_code)i));
    }
    print_catalogue();
    return fflush(stdout) == 0 ? 0 : 1;
}
