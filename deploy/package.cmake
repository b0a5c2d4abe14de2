# What belongs beside the program: manual page, systemd units, and the Debian package of all of it (cpack -G DEB).
# Paths inside are those of CMAKE_INSTALL_PREFIX, so configure a package with the preset `package`.
include(GNUInstallDirs)
set(IMAP_TESTD_MAINTAINER "The imap-testd authors <imap-testd@imap-testd.invalid>" CACHE STRING
    "Maintainer of the Debian package")

# No time of the build stands in what is built, but that of this version, or what SOURCE_DATE_EPOCH says.
if(NOT DEFINED ENV{SOURCE_DATE_EPOCH})
  set(ENV{SOURCE_DATE_EPOCH} 1795564800)
endif()
string(TIMESTAMP IMAP_TESTD_DATE "%Y-%m-%d" UTC)
string(TIMESTAMP CHANGELOG_DATE "%a, %d %b %Y %H:%M:%S +0000" UTC)

set(UNIT_FOLDER ${CMAKE_INSTALL_PREFIX}/lib/systemd/system)
set(out ${CMAKE_BINARY_DIR}/package)

# Writes the options, and runs on the machine that builds.
set(print_options ${CMAKE_SOURCE_DIR}/server/print_options.c ${CMAKE_SOURCE_DIR}/server/roff.c)
if(CMAKE_CROSSCOMPILING)
  find_program(IMAP_TESTD_BUILD_CC NAMES cc gcc clang REQUIRED NO_CMAKE_FIND_ROOT_PATH)
  add_custom_command(OUTPUT ${out}/print_options
    COMMAND ${IMAP_TESTD_BUILD_CC} -std=c11 -I${CMAKE_SOURCE_DIR} -o ${out}/print_options ${print_options}
    DEPENDS ${print_options} ${CMAKE_SOURCE_DIR}/server/config.def)
  set(print_options ${out}/print_options)
else()
  add_executable(print_options ${print_options})
  target_link_libraries(print_options PRIVATE house)
  set(print_options print_options)
endif()

# filled(KIND TEMPLATE OUT): the template with the options.
function(filled kind template result)
  configure_file(${CMAKE_SOURCE_DIR}/${template} ${out}/${result}.template @ONLY)
  add_custom_command(OUTPUT ${out}/${result}
    COMMAND ${print_options} ${kind} ${out}/${result}.template > ${out}/${result}
    DEPENDS ${print_options} ${out}/${result}.template)
endfunction()

# zipped(IN OUT): as Debian wants it, without name and time.
find_program(GZIP gzip REQUIRED)
function(zipped in result)
  add_custom_command(OUTPUT ${out}/${result} COMMAND ${GZIP} -9nc ${in} > ${out}/${result} DEPENDS ${in})
endfunction()

filled(manual docs/imap-testd.8.in imap-testd.8)
filled(defaults deploy/debian/defaults.in default)
zipped(${out}/imap-testd.8 imap-testd.8.gz)
configure_file(${CMAKE_SOURCE_DIR}/deploy/debian/changelog.in ${out}/changelog @ONLY)
zipped(${out}/changelog changelog.gz)
zipped(${CMAKE_SOURCE_DIR}/CHANGELOG.md NEWS.md.gz)
add_custom_target(pages ALL DEPENDS ${out}/imap-testd.8.gz ${out}/default ${out}/changelog.gz ${out}/NEWS.md.gz)
# Where only the program is built, what is installed with it is there too.
add_dependencies(imap-testd pages)

# The units name the program where /usr/local has it.
file(GLOB units CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/deploy/*.service ${CMAKE_SOURCE_DIR}/deploy/*.socket)
foreach(unit ${units})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${unit})
  file(READ ${unit} text)
  string(REPLACE /usr/local/bin/ ${CMAKE_INSTALL_FULL_BINDIR}/ text "${text}")
  cmake_path(GET unit FILENAME name)
  file(WRITE ${out}/units/${name} "${text}")
  if(name MATCHES "socket$")
    list(APPEND SOCKETS ${name})
  else()
    list(APPEND SERVICES ${name})
  endif()
endforeach()
list(JOIN SOCKETS " " SOCKETS)
list(JOIN SERVICES " " SERVICES)

install(DIRECTORY ${out}/units/ DESTINATION lib/systemd/system COMPONENT program)
install(FILES ${out}/imap-testd.8.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man8 COMPONENT program)

# What only the package installs.
install(FILES ${out}/default DESTINATION /etc/default RENAME imap-testd COMPONENT debian EXCLUDE_FROM_ALL)
install(FILES README.md SECURITY.md deploy/debian/copyright ${out}/changelog.gz ${out}/NEWS.md.gz
        DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT debian EXCLUDE_FROM_ALL)
install(FILES docker/nginx.conf docker/nginx-main.conf docker/nginx-tls.conf docker/nginx-upstream.conf
        DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples COMPONENT debian EXCLUDE_FROM_ALL)
file(GLOB examples LIST_DIRECTORIES ON CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/deploy/imap-testd.service.d
     ${CMAKE_SOURCE_DIR}/deploy/logrotate ${CMAKE_SOURCE_DIR}/deploy/prometheus ${CMAKE_SOURCE_DIR}/deploy/grafana)
install(DIRECTORY ${examples} DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples COMPONENT debian EXCLUDE_FROM_ALL
        PATTERN *_test.yaml EXCLUDE)
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs COMPONENT debian EXCLUDE_FROM_ALL
        FILES_MATCHING PATTERN *.md PATTERN *.svg)
foreach(script postinst prerm postrm)
  configure_file(${CMAKE_SOURCE_DIR}/deploy/debian/${script}.in ${out}/${script} @ONLY FILE_PERMISSIONS
                 OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
  list(APPEND CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${out}/${script})
endforeach()
file(WRITE ${out}/conffiles "/etc/default/imap-testd\n")
list(APPEND CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${out}/conffiles)

# Read by cpack when it runs: all files of the package have that time.
file(WRITE ${out}/cpack.cmake "if(NOT DEFINED ENV{SOURCE_DATE_EPOCH})
  set(ENV{SOURCE_DATE_EPOCH} $ENV{SOURCE_DATE_EPOCH})
endif()
")
set(CPACK_PROJECT_CONFIG_FILE ${out}/cpack.cmake)
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "${IMAP_TESTD_MAINTAINER}")
set(CPACK_PACKAGING_INSTALL_PREFIX ${CMAKE_INSTALL_PREFIX})
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL program debian)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION mail)
# Trusted roots; the unit's reload command, /bin/kill.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "ca-certificates, procps")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "HTTP service that tests how IMAP servers are set up")
set(CPACK_PACKAGE_DESCRIPTION
"Answers for any host whether mail clients can reach its IMAP service, and
whether its encryption is sound: STARTTLS and implicit TLS, the certificate,
capabilities, findings with remedies, as a JSON report. It never logs in and
reads no mail.
.
With --check it tests one host from the command line.")
include(CPack)
