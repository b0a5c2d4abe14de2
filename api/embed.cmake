# Writes the file IN as a C array into OUT (see api/openapi.h).
file(READ "${IN}" hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n" bytes "${bytes}")
file(WRITE "${OUT}" "#include \"api/openapi.h\"\n\nconst unsigned char openapi_yaml[] = {\n${bytes}};\nconst size_t openapi_yaml_len = sizeof openapi_yaml;\n")
